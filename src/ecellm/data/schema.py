"""The Store: a shop's tables in one schema, whatever source they came from.

Sources fill it, tasks draw from it. Every table is an Ibis expression, so nothing is loaded until a task
asks for its (few) sampled rows, and the same expressions run on DuckDB and on PySpark.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from ecellm.errors import DataError
from ecellm.io.hashing import SEPARATOR

#: The columns of every table, with their Ibis types and what they hold. Times are seconds since 1970 (UTC). Strings
#: are as the source wrote them.
TABLES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "products": {
        "catalogue": ("string", "where the record stands: amazon_2018, amazon_2014, amazon, google, esci or mave"),
        "category": ("string", "the source's category (its file name for Amazon Review); empty where it has none"),
        "product_id": ("string", "unique within catalogue and category"),
        "title": ("string", "as written, markup included; null where missing"),
        "description": ("string", "paragraphs joined by ', '; null where missing"),
        "feature": ("string", "bullet points joined by ', '; null where missing"),
        "brand": ("string", "brand or manufacturer; null where missing"),
        "price": ("string", "text as the source wrote it, no unit added (amazon: of a float); null where missing"),
        "categories": ("array<string>", "category path from the root; empty where missing"),
        "fields": (
            "array<string>",
            "MAVE: which of title, description, feature, price, brand exist, in the order of "
            "their first paragraph; empty elsewhere",
        ),
        "shown": (
            "array<struct<name: string, text: string>>",
            "the fields of the user's own records, in order; null where they show the published ones",
        ),
    },
    "reviews": {
        "category": ("string", "the review file's category"),
        "product_id": ("string", "the reviewed product"),
        "user_id": ("string", "the reviewer"),
        "stars": ("int8", "1 to 5"),
        "text": ("string", "the review's text; never null"),
        "time": ("int64", "seconds since 1970, UTC"),
    },
    "purchases": {
        "category": ("string", "the rating file's category"),
        "product_id": ("string", "the product rated, taken as bought"),
        "user_id": ("string", "the shopper"),
        "time": ("int64", "seconds since 1970, UTC"),
    },
    "relations": {
        "category": ("string", "the metadata file's category"),
        "product_id": ("string", "the page's product"),
        "other_id": ("string", "the product it points to, in any category"),
        "relation": ("string", "also_buy, also_view or similar"),
        "split": (
            "string",
            "the split of a user's own labelled pair: train, validation or test; null where none is given",
        ),
    },
    "matches": {
        "left_id": ("string", "product_id in catalogue amazon"),
        "right_id": ("string", "product_id in catalogue google that is the same product"),
    },
    "pairs": {
        "left_id": ("string", "product_id in catalogue amazon"),
        "right_id": ("string", "product_id in catalogue google"),
        "label": ("string", "yes where both are the same product, no where they are not"),
        "split": ("string", "train, validation or test; null where none is given"),
    },
    "judgements": {
        "query": ("string", "the shopper's query"),
        "product_id": ("string", "the judged product, in catalogue esci"),
        "label": ("string", "E exact, S substitute, C complement, I irrelevant"),
        "small": ("boolean", "whether the row is in the source's small version (the ranking task)"),
        "split": ("string", "the source's own split: train or test; in a user's own table also validation"),
    },
    "attributes": {
        "category": ("string", "the product's category"),
        "product_id": ("string", "the product, in catalogue mave"),
        "attribute": ("string", "the attribute to extract"),
        "position": ("int64", "the attribute's place in the product's list, from 0"),
        "value": ("string", "the value as it stands in the text; null where the text does not give one"),
        "field": ("string", "title, description, feature, price or brand: where the value stands; null with value"),
        "split": ("string", "the source's own split: train, validation or test"),
    },
    "questions": {
        "category": ("string", "the question's category"),
        "product_id": ("string", "the product that it is about"),
        "question": ("string", "the question's text"),
        "kind": ("string", "descriptive or yesno"),
        "answerable": ("boolean", "whether the snippets answer it"),
        "snippets": ("array<string>", "review snippets, best first"),
        "answers": (
            "array<struct<text: string, helpful: int64>>",
            "shoppers' answers in the source's order, with their helpful votes (null where not known)",
        ),
        "split": ("string", "the source's own split: train, validation or test"),
    },
}
SCHEMAS: Mapping[str, ibis.Schema] = {
    name: ibis.schema({column: kind for column, (kind, _) in columns.items()}) for name, columns in TABLES.items()
}

#: Columns that a source need not give: they are null then, lists empty.
OPTIONAL: Mapping[str, Sequence[str]] = {
    "products": ("description", "feature", "price", "categories", "fields", "shown"),
    "relations": ("split",),
}

#: A row of an expression, by its columns: the expression says which they are, and of what types.
Row = dict[str, Any]


class Engine:
    """What computes the expressions, and the only way from them to Python's rows and back.

    This one leaves the backend to Ibis, which is enough for tables in memory.
    """

    def keep(self, table: ir.Table) -> ir.Table:
        """Compute an expression once and return the table that holds it."""
        return self.given(table.to_pyarrow())

    def forget(self, table: ir.Table, *columns: str) -> None:
        """Let go of a kept table, or of columns of it, from which nothing is computed any more."""

    def owning(self) -> AbstractContextManager[list[str]]:
        """Note the tables that are kept within, but for those that a further `owning` within notes."""
        return nullcontext([])

    def drop(self, names: Sequence[str]) -> None:
        """Let go of kept tables that were noted."""

    def rows(self, table: ir.Table) -> list[Row]:
        """Collect an expression's rows. Only what is sampled may be collected, whatever the shop's size."""
        found: list[Row] = table.to_pyarrow().to_pylist()
        return found

    def write(self, table: ir.Table, path: Path) -> None:
        """Write an expression's rows to a Parquet file, or to a folder of them, without collecting them."""
        table.to_parquet(path)

    def given(self, rows: pa.Table) -> ir.Table:
        """Return a few rows of our own as a table of the engine."""
        return ibis.memtable(rows)

    def mapped(self, texts: ir.Table, function: Callable[[str], str]) -> ir.Table:
        """Return the texts of a table of one column with a second column, `mapped`, that Python computes."""
        (column,) = texts.columns
        found = [row[column] for row in self.rows(texts)]
        columns = {column: pa.array(found, pa.string()), "mapped": pa.array(map(function, found), pa.string())}
        return self.given(pa.table(columns))


@dataclass(frozen=True)
class Store:
    """A shop's tables. A table that no source provides is absent from `tables`."""

    tables: Mapping[str, ir.Table]
    """Table name to expression; each has exactly the columns of `SCHEMAS[name]`, in that order."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Why an absent table is absent, for messages."""
    engine: Engine = field(default_factory=Engine)
    """What computes the tables."""
    catalogues: Mapping[str, ir.Table] = field(default_factory=dict)
    """The products of one catalogue alone, where a source gives nothing else: that saves reading the others."""
    shared: dict[str, ir.Table] = field(default_factory=dict)
    """What several tasks draw from, computed once."""

    def __post_init__(self) -> None:
        for name, table in self.tables.items():
            assert table.schema().names == SCHEMAS[name].names, (name, table.schema())

    def __getitem__(self, name: str) -> ir.Table:
        """Return a table; raises DataError naming the missing table."""
        if name not in self.tables:
            why = self.notes.get(name, "no source provides it")
            raise DataError(f"The Store has no table {name!r}: {why}.")
        return self.tables[name]

    def catalogue(self, name: str) -> ir.Table:
        """Return the products of a catalogue; raises as for the table products."""
        if name in self.catalogues:
            return self.catalogues[name]
        products = self["products"]
        return products.filter(products.catalogue == name)

    def rows(self, table: ir.Table) -> list[Row]:
        """Collect an expression's rows, which must be few: those sampled."""
        return self.engine.rows(table)

    def count(self, table: ir.Table) -> int:
        """Return how many rows an expression has."""
        return int(self.rows(table.aggregate(rows=table.count()))[0]["rows"])

    def sum(self, table: ir.Table, column: str) -> int:
        """Return the sum of a column of whole numbers, 0 where there is no row."""
        return int(self.rows(table.aggregate(sum=table[column].sum()))[0]["sum"] or 0)

    def first(self, table: ir.Table, key: str, count: int) -> list[Row]:
        """Collect the `count` rows with the smallest values of the key column, in that order.

        The key must tell rows apart, or rows of equal key must be equal.
        """
        return self.rows(table.order_by(key).limit(count))

    def keep(self, table: ir.Table) -> ir.Table:
        """Compute an expression once and return the table that holds it."""
        return self.engine.keep(table)

    def once(self, name: str, make: Callable[[], ir.Table]) -> ir.Table:
        """Return the kept table of this name, which is made and kept the first time."""
        if name not in self.shared:
            with self.engine.owning():  # by no task
                self.shared[name] = self.keep(make())
        return self.shared[name]

    def given(self, rows: Iterable[Mapping[str, object]], **kinds: str) -> ir.Table:
        """Return columns (name to Arrow type) of a few rows of our own as a table to join with."""
        listed = list(rows)
        columns = {name: pa.array([row[name] for row in listed], kind) for name, kind in kinds.items()}
        return self.engine.given(pa.table(columns))


def keyed(seed: int | str, *columns: ir.Value | str) -> ir.StringValue:
    """Return `ecellm.io.hashing.keyed_hash(seed, ...)` as an Ibis expression over columns (nulls count as '').

    Strings among `columns` are literals. Order by it and limit to draw rows: the n smallest keys are the
    sample, equal on every engine and in every row order.
    """
    parts: list[ir.StringValue] = [ibis.literal(str(seed))]
    for column in columns:
        value = ibis.literal(column) if isinstance(column, str) else column
        parts.append(value.cast("string").fill_null(""))
    return reduce(lambda left, right: left + SEPARATOR + right, parts).hexdigest("md5")


def no_texts() -> ir.ArrayValue:
    """Return an empty array of texts. An empty literal would have no element type in DuckDB."""
    return ibis.array([ibis.literal("")])[:0]


def conform(table: ir.Table, name: str) -> ir.Table:
    """Return the table with exactly the columns and types of `SCHEMAS[name]`; raises if one is missing that is not of
    `OPTIONAL`."""
    columns = {}
    for column, (kind, _) in TABLES[name].items():
        if column in table.columns or column not in OPTIONAL.get(name, ()):
            columns[column] = table[column].cast(kind)
        else:
            columns[column] = no_texts() if kind == "array<string>" else ibis.null(kind)
    return table.select(**columns)
