"""A shop's own tables: CSV, JSON lines, Parquet or a database's, their columns mapped to the Store's.

What a public source would say and a shop's table need not is filled in: one category, "shop", for all; splits by
key; answers without votes. `docs/own-tables.md` shows a whole example.
"""

import os
import re
import sqlite3
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.common.exceptions import IbisError, TableNotFound

from ecellm.dataset.config import OwnTable, OwnTables
from ecellm.sources.raw import Part, Workbench, no_texts
from ecellm.store import conform, keyed
from ecellm.tasks import TASKS
from ecellm.tasks.drawing import eighty_ten_ten, normalised

#: The category of rows that have none.
SHOP = "shop"
#: An URL with a password.
PASSWORD = re.compile(r"://[^/@]*:[^/@]+@")
#: Rows fetched from a database at a time.
ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Form:
    """How one table of the Store may be given."""

    needed: Mapping[str, str]
    """Columns that must be there, with their kind (`OWN_TYPES`)."""
    optional: Mapping[str, str] = field(default_factory=dict)


FORMS: Mapping[str, Form] = {
    "products": Form(
        {"product_id": "text", "title": "text"},
        dict.fromkeys(("category", "catalogue", "description", "feature", "brand", "price"), "text")
        | {"categories": "texts"},
    ),
    "reviews": Form(
        {"stars": "stars", "text": "text"},
        dict.fromkeys(("category", "product_id", "user_id"), "text") | {"time": "time"},
    ),
    "purchases": Form({"product_id": "text", "user_id": "text", "time": "time"}, {"category": "text"}),
    "relations": Form({"product_id": "text", "other_id": "text", "relation": "text"}, {"category": "text"}),
    "matches": Form({"left_id": "text", "right_id": "text"}),
    "judgements": Form({"query": "text", "product_id": "text", "label": "text"}, {"small": "truth", "split": "text"}),
    "attributes": Form(
        {"product_id": "text", "attribute": "text"},
        {"category": "text", "position": "number", "value": "text", "field": "text", "split": "text"},
    ),
    "questions": Form(
        {"question": "text", "snippets": "texts"},
        dict.fromkeys(("category", "product_id", "kind", "split"), "text")
        | {"answerable": "truth", "answers": "answers"},
    ),
}
#: What a task needs beside the needed columns of its tables.
ALSO: Mapping[str, Collection[tuple[str, str]]] = {
    "AVE": (("attributes", "value"), ("attributes", "field")),
    "PM": (("products", "catalogue"),),
    "AP": (("questions", "answerable"),),
    "AG": (("questions", "answers"),),
}
#: In which of the Store's catalogues a table's products are looked for.
CATALOGUES = {
    "reviews": "amazon_2018",
    "relations": "amazon_2018",
    "purchases": "amazon_2018",
    "judgements": "esci",
    "attributes": "mave",
}
VALUES = {
    "relation": ("also_buy", "also_view", "similar"),
    "label": ("E", "S", "C", "I"),
    "field": ("title", "description", "feature", "brand", "price"),
}


class OwnReader:
    """The own tables of one build: which columns they have, what they allow, and the Store's tables from them."""

    def __init__(self, bench: Workbench, root: Path, tables: OwnTables, space: Path):
        """Look at every table's columns; `space` takes copies of database tables. Raises ValueError where one
        cannot be read or lacks a column that it is said to have."""
        self._bench = bench
        self._tables = tables.named()
        self._paths = {name: self._path(name, table, root, space) for name, table in self._tables.items()}
        self._columns = {name: self._mapped(name, table) for name, table in self._tables.items()}

    def obstacles(self, given: Collection[str]) -> dict[str, str]:
        """Return why tasks cannot be built from these tables and those that are given by other sources, by task."""
        found = {}
        for task in TASKS.values():
            if set(task.needs) - {"products"} <= set(given):
                continue
            lacking = [name for name in task.needs if name not in self._tables]
            wanted = [(name, column) for name in task.needs for column in FORMS[name].needed]
            wanted += ALSO.get(task.name, ())
            absent = [
                f"{name}.{column}"
                for name, column in wanted
                if name in self._tables and column not in self._columns[name]
            ]
            if lacking:
                found[task.name] = f"there is no table {' and no table '.join(lacking)}"
            elif absent:
                found[task.name] = f"there is no column {' and no column '.join(absent)}"
        return found

    def read(self, wanted: Collection[str]) -> dict[str, ir.Table]:
        """Return the Store's tables, of those that are wanted and there."""
        names = [name for name in self._tables if name in wanted and name != "products"]
        rows = {name: self._rows(name) for name in names if not self._lacks(name)}
        found = {name: _filled(table, name) for name, table in rows.items()}
        if "products" in self._tables and not self._lacks("products"):
            found["products"] = _products(self._rows("products"), found)
        return {name: conform(table, name) for name, table in found.items()}

    def _lacks(self, name: str) -> bool:
        return not self._columns[name].keys() >= FORMS[name].needed.keys()

    def _rows(self, name: str) -> ir.Table:
        form = FORMS[name]
        kinds = {**form.needed, **form.optional}
        columns = {column: (own, kinds[column]) for column, own in self._columns[name].items()}
        rows = self._bench.own(Part(self._paths[name]), columns, list(form.needed))
        for column, kind in kinds.items():
            if column not in columns:
                rows = rows.mutate(**{column: _nothing(kind)})
        for column, allowed in VALUES.items():
            if column in columns:
                self._refuse_others(name, rows, column, allowed)
        return rows

    def _refuse_others(self, name: str, rows: ir.Table, column: str, allowed: Iterable[str]) -> None:
        other = rows.filter(rows[column].notnull() & rows[column].notin(list(allowed)))
        odd = other[column].first().to_pyarrow().as_py()
        if odd is not None:
            raise ValueError(f"The table {name} has {column} {odd!r}: it should be one of {', '.join(allowed)}.")

    def _mapped(self, name: str, table: OwnTable) -> dict[str, str]:
        """Return the Store's columns that the table has, with their own names."""
        there = self._bench.own_columns(self._paths[name])
        form = FORMS[name]
        known = [*form.needed, *form.optional]
        unknown = [column for column in table.columns if column not in known]
        if unknown:
            raise ValueError(
                f"[sources.tables.{name}]: there is no column {unknown[0]!r}; known: {', '.join(known)}."
            )
        absent = [own for own in table.columns.values() if own not in there]
        if absent:
            raise ValueError(f"{self._paths[name].name} has no column {absent[0]!r}; it has {', '.join(there)}.")
        by_name = {column: column for column in known if column in there}
        return {**by_name, **table.columns}

    def _path(self, name: str, table: OwnTable, root: Path, space: Path) -> Path:
        """Return the table's file; a database's table is copied to one first."""
        if table.file is not None:
            return root / table.file
        path = space / f"{name}.parquet"
        _copy(str(table.database), str(table.table), root, path)
        return path


def _copy(database: str, table: str, root: Path, out: Path) -> None:
    """Copy a database's table to a Parquet file, some rows at a time; raises ValueError where that fails."""
    try:
        with warnings.catch_warnings():
            # Ibis 12 asks pandas 3 for an option that is on its way out.
            warnings.filterwarnings("ignore", ".*infer_string.*")
            connection = ibis.connect(_address(database, root))
            reader = connection.table(table).to_pyarrow_batches(chunk_size=ROWS_AT_ONCE)
            with pq.ParquetWriter(out, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
            connection.disconnect()
    except (IbisError, TableNotFound, sqlite3.Error, pa.ArrowException, ImportError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"The table {table!r} of {database} cannot be read: {said}.") from error


def _address(database: str, root: Path) -> str:
    """Return the address to connect to: of an SQLite file, an Ibis URL, or $NAME, read from the environment.

    Raises ValueError where there is none, or it holds a password: what the config says stands in the manifest.
    """
    if database.startswith("$"):
        if not os.environ.get(database[1:]):
            raise ValueError(f"The environment has no {database[1:]}: set it to the database's URL.")
        return os.environ[database[1:]]
    if PASSWORD.search(database):
        raise ValueError(
            'A password does not belong in the config: write database = "$NAME" and set NAME to the URL.'
        )
    if "://" in database:
        return database
    if not (root / database).is_file():
        raise ValueError(f"There is no file {root / database}: check --sources and [sources.tables].")
    return f"sqlite://{(root / database).resolve()}"


def _nothing(kind: str) -> ir.Value:
    """Return the null of a kind of column."""
    types = {"text": "string", "stars": "int8", "number": "int64", "time": "int64", "truth": "boolean"}
    types |= {"texts": "array<string>", "answers": "array<struct<text: string, helpful: int64>>"}
    return ibis.null(types[kind])


def _filled(rows: ir.Table, name: str) -> ir.Table:
    """Return the rows with what a shop's table need not say."""
    if "category" in rows.columns:
        rows = rows.mutate(category=rows.category.fill_null(SHOP))
    if name == "reviews":
        empty = {column: rows[column].fill_null("") for column in ("product_id", "user_id")}
        return rows.mutate(**empty, time=rows.time.fill_null(0))
    if name == "judgements":
        side = ibis.ifelse(keyed(0, "own judgements", rows["query"].lower()) < "cccccccc", "train", "test")
        return rows.mutate(small=rows.small.fill_null(True), split=rows.split.fill_null(side))
    if name == "attributes":
        split = eighty_ten_ten(keyed(0, "own attributes", rows.product_id))
        return rows.mutate(position=rows.position.fill_null(0), split=_split(rows.split).fill_null(split))
    if name == "questions":
        split = eighty_ten_ten(keyed(0, "own questions", normalised(rows.question)))
        return rows.mutate(
            product_id=rows.product_id.fill_null(""),
            kind=rows.kind.fill_null("descriptive"),
            answerable=rows.answerable.fill_null(rows.answers.notnull()),
            answers=ibis.coalesce(rows.answers, no_answers()),
            split=_split(rows.split).fill_null(split),
        )
    return rows


def _split(split: ir.StringValue) -> ir.StringValue:
    return ibis.cases((split.isin(["val", "dev"]), "validation"), else_=split)


def no_answers() -> ir.ArrayValue:
    """Return an empty array of answers."""
    return ibis.array([ibis.struct({"text": "", "helpful": ibis.literal(0, "int64")})])[:0]


def _products(rows: ir.Table, found: Mapping[str, ir.Table]) -> ir.Table:
    """Return the products once for each of the Store's catalogues that the tables look into."""
    rows = rows.mutate(category=rows.category.fill_null(SHOP), categories=ibis.coalesce(rows.categories, no_texts()))
    texts = ("title", "description", "feature", "price", "brand")
    there = ibis.array([ibis.ifelse(rows[name].notnull(), ibis.literal(name), ibis.null("string")) for name in texts])
    catalogues = sorted({CATALOGUES[name] for name in found if name in CATALOGUES})
    copies = [
        rows.mutate(
            catalogue=ibis.literal(name),
            fields=there.filter(lambda name: name.notnull()) if name == "mave" else no_texts(),
        )
        for name in catalogues
    ]
    if "matches" in found:
        for side, name in (("left_id", "amazon"), ("right_id", "google")):
            matched = rows.semi_join(found["matches"], rows.product_id == found["matches"][side])
            shops = matched.select("catalogue").distinct()
            copies.append(rows.semi_join(shops, "catalogue").mutate(catalogue=ibis.literal(name), fields=no_texts()))
    columns = ["catalogue", "category", "product_id", *texts, "categories", "fields"]
    chosen = [copy.select(*columns) for copy in copies] or [rows.mutate(fields=no_texts()).select(*columns)]
    return ibis.union(*chosen) if len(chosen) > 1 else chosen[0]
