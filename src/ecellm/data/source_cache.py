"""The sources of one build: each is read when a task needs it, and let go when none does and memory is short."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir

from ecellm.data.engines.base import Part, Tables, Workbench
from ecellm.data.schema import Store
from ecellm.errors import DataError

#: Which source provides which tables, for messages.
PROVIDERS = {
    "reviews": "amazon_reviews",
    "purchases": "amazon_reviews",
    "relations": "amazon_reviews",
    "products": "any source",
    "matches": "amazon_google",
    "judgements": "esci",
    "attributes": "mave",
    "questions": "amazon_qa",
}


#: The step of reading a source begins with this.
READING = "reading"


@dataclass
class Reading:
    """One source, or a part of one, that is read at once."""

    name: str
    """For messages."""
    gives: AbstractSet[str]
    """The Store's tables that it gives, but for products, of which every source gives some."""
    parts: Sequence[Part]
    read: Callable[[], Tables]
    catalogues: Sequence[str] = ()
    """Whose products it gives."""
    products_for: AbstractSet[str] = frozenset()
    """Further tables whose tasks may need these products."""
    tables: Tables | None = None
    """What was read; None before, and once it was let go."""
    kept: Sequence[str] = field(default_factory=list)
    """The engine's tables in which this lies."""
    before: bool = False
    """Whether it was read at all."""

    def serves(self, needs: AbstractSet[str]) -> bool:
        """Say whether a task that draws from these tables needs it."""
        return not needs.isdisjoint(self.gives | self.products_for)


class Shelf:
    """What the sources hold, for one task after the other."""

    def __init__(self, bench: Workbench, readings: Sequence[Reading], own: Tables, say: Callable[[str], None]):
        """`own` are tables of the user's own, which were read already; `say` is called with what is read.

        Raises DataError where two sources give the same table."""
        self.bench = bench
        self._readings = readings
        self._own = own
        self._say = say
        self._shared: dict[str, ir.Table] = {}
        twice = sorted(own.keys() & {name for reading in readings for name in reading.gives})
        if twice:
            raise DataError(
                f"Two sources give {twice[0]}: leave it out of [sources.tables], or leave the source out."
            )

    def store(self, needs: AbstractSet[str] | None = None) -> Store:
        """Return the Store with these tables (None: all), read where they are not there yet; others may be there."""
        for reading in self._readings:
            if needs is None or reading.serves(needs):
                self._read(reading)
        found: dict[str, ir.Table] = {}
        products: list[ir.Table] = []
        catalogues: dict[str, ir.Table] = {}
        for reading in self._readings:
            for name, table in (reading.tables or {}).items():
                if name == "products":
                    products.append(table)
                    catalogues |= _catalogues(table, reading.catalogues)
                else:
                    found[name] = table
        found.update({name: table for name, table in self._own.items() if name != "products"})
        if "products" in self._own:  # of any catalogue
            products.append(self._own["products"])
            catalogues = {}
        if products:
            found["products"] = ibis.union(*products) if len(products) > 1 else products[0]
        absent = {name: f"name the source {provider} in the config" for name, provider in PROVIDERS.items()}
        return Store(found, absent, self.bench, catalogues, self._shared)

    def let_go(self, needs: AbstractSet[str]) -> None:
        """Let go of what is read for other tables than these, where memory is short; it can be read again."""
        for reading in self._readings:
            if reading.tables is not None and not reading.serves(needs) and self.bench.short():
                self.bench.drop(reading.kept)
                reading.tables = None

    def _read(self, reading: Reading) -> None:
        if reading.tables is not None:
            return
        self._say(f"{READING} {reading.name}")
        with self.bench.owning() as reading.kept:
            reading.tables = self.bench.again(reading.read) if reading.before else reading.read()
        reading.before = True


def _catalogues(products: ir.Table, names: Sequence[str]) -> Mapping[str, ir.Table]:
    """Return the products of each catalogue alone."""
    return {name: products if len(names) == 1 else products.filter(products.catalogue == name) for name in names}
