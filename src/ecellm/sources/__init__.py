"""Sources: one reader per raw format, each filling tables of the Store and knowing nothing of tasks."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.dataset.config import Sources
from ecellm.sources import amazon_google, amazon_qa, amazon_reviews, esci, mave, own_tables
from ecellm.sources.interrupt import interruptible
from ecellm.sources.workbench import Workbench
from ecellm.store import Store

ENGINES = ("duckdb", "spark")

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


@dataclass(frozen=True)
class Wanted:
    """Categories whose Amazon Review files are needed, by kind of file."""

    reviews: Collection[str] = ()
    metadata: Collection[str] = ()
    ratings: Collection[str] = ()


@dataclass(frozen=True)
class Engine:
    """What computes the draws."""

    name: str = "duckdb"
    """duckdb or spark."""
    memory: str = "2500MB"
    """DuckDB's limit, beyond which it spills to disk; for Spark, the memory of this process's part of it."""
    master: str = "local[*]"
    """Spark's master address, such as spark://host:7077; local[2] computes here on two cores."""

    @property
    def package(self) -> str:
        """The package whose version makes a difference."""
        return "pyspark" if self.name == "spark" else "duckdb"

    def workbench(self, root: Path, space: Path) -> Workbench:
        """Start the engine; raises ValueError with the install line where it is not there."""
        if self.name == "spark":
            try:
                from ecellm.sources.spark import SparkWorkbench
            except ImportError as error:
                raise ValueError(
                    "The engine spark needs PySpark and a Java runtime: pip install 'ecellm[spark]'."
                ) from error
            return SparkWorkbench(root, space, self.memory, self.master)
        from ecellm.sources.duckdb_ import DuckWorkbench

        return DuckWorkbench(root, space, self.memory)


@contextmanager
def open_store(
    root: Path,
    sources: Sources,
    wanted: Wanted,
    tables: Collection[str],
    engine: Engine | None = None,
    temporary: Path | None = None,
) -> Iterator[tuple[Store, Workbench]]:
    """Read what the named tables need and give the Store, with the workbench that says what was read.

    The tables lie in a folder below `temporary` (None: the system's, TMPDIR), which is removed at the end; the
    engine is DuckDB unless told otherwise. Raises ValueError with one sentence where a folder or file is missing
    or cannot be read or the memory is too small, OSError where the disk is full; both also for what is computed
    within.
    """
    if not root.is_dir():
        raise ValueError(f"There is no sources folder {root}.")
    with (
        tempfile.TemporaryDirectory(prefix="ecellm-", dir=temporary) as space,
        closing((engine or Engine()).workbench(root, Path(space))) as bench,
    ):
        try:
            with interruptible(bench.stop):
                yield _read(bench, root, sources, wanted, tables, Path(space)), bench
        except Exception as error:
            told = bench.shortage(error)
            if told is None:
                raise
            raise told from error


def _read(
    bench: Workbench, root: Path, sources: Sources, wanted: Wanted, tables: Collection[str], space: Path
) -> Store:
    found: dict[str, ir.Table] = {}
    products: list[ir.Table] = []
    catalogues: dict[str, ir.Table] = {}

    def take(provided: Mapping[str, ir.Table], *names: str) -> None:
        found.update({name: table for name, table in provided.items() if name != "products"})
        if "products" in provided:
            table = provided["products"]
            products.append(table)
            alone = len(names) == 1
            catalogues.update({name: table if alone else table.filter(table.catalogue == name) for name in names})

    if sources.amazon_reviews is not None:
        folder = _folder(root, sources.amazon_reviews)
        if "reviews" in tables and wanted.reviews:
            take({"reviews": amazon_reviews.read_reviews(bench, folder, wanted.reviews)})
        if "purchases" in tables and wanted.ratings:
            take({"purchases": amazon_reviews.read_purchases(bench, folder, wanted.ratings)})
        if wanted.metadata:
            take(amazon_reviews.read_metadata(bench, folder, wanted.metadata), "amazon_2018")
    # 2014's metadata fills gaps of what was bought, nothing else.
    if sources.amazon_reviews_2014 is not None and wanted.ratings:
        folder = _folder(root, sources.amazon_reviews_2014)
        old = amazon_reviews.read_metadata_2014(bench, folder, wanted.ratings, space)
        take({"products": old}, "amazon_2014")
    if sources.amazon_google is not None and "matches" in tables:
        take(amazon_google.read(bench, _folder(root, sources.amazon_google)), "amazon", "google")
    if sources.esci is not None and "judgements" in tables:
        take(esci.read(bench, _folder(root, sources.esci)), "esci")
    if sources.mave is not None and "attributes" in tables:
        take(mave.read(bench, _folder(root, sources.mave)), "mave")
    if sources.amazon_qa is not None and "questions" in tables:
        take(amazon_qa.read(bench, _folder(root, sources.amazon_qa)))
    if sources.tables.named():
        own = own_tables.read(bench, root, sources.tables, tables, space)
        twice = sorted(own.keys() & found.keys())
        if twice:
            raise ValueError(
                f"Two sources give {twice[0]}: leave it out of [sources.tables], or leave the source out."
            )
        take(own)
        if "products" in own:  # of any catalogue
            catalogues.clear()
    if products:
        found["products"] = ibis.union(*products) if len(products) > 1 else products[0]
    return Store(found, _absent(found), bench, catalogues)


def obstacles(root: Path, sources: Sources) -> dict[str, str]:
    """Return why tasks cannot be built from the user's own tables, by task; empty where there are none.

    Raises ValueError where a table cannot be read or lacks a column that the config names.
    """
    if not sources.tables.named():
        return {}
    given = [name for name, provider in PROVIDERS.items() if getattr(sources, provider, None) is not None]
    return own_tables.obstacles(own_tables.own_columns(root, sources.tables), given)


def _absent(found: Mapping[str, ir.Table]) -> dict[str, str]:
    return {
        name: f"name the source {provider} in the config" for name, provider in PROVIDERS.items() if name not in found
    }


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}: check --sources and the config's [sources].")
    return folder
