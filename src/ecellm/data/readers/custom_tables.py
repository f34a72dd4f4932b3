"""A shop's own tables: CSV, JSON lines, Parquet or a database's, their columns mapped to the Store's.

What a public source would say and a shop's table need not is filled in: one category, "shop", for all; splits by
key; answers without votes. A table of pairs may show its products' records instead of naming products: these become
products. `docs/own-tables.md` shows whole examples.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.data.config import OwnTable, OwnTables
from ecellm.data.convert import TableForm
from ecellm.data.engines.base import Part, Workbench, pieces
from ecellm.data.readers.custom_tables_columns import FORMS, RECORD, Columns, is_whole, kinds_of
from ecellm.data.readers.databases import copy_table, table_columns
from ecellm.data.samplers.drawing import TRAIN_BELOW, eighty_ten_ten, normalised
from ecellm.data.schema import conform, keyed, no_texts
from ecellm.errors import DataError
from ecellm.io.tables.header import file_columns
from ecellm.io.tables.lines import EXCERPT

#: The category of rows that have none.
SHOP = "shop"
#: What tells products apart, as far as their table has it.
IDENTITY = ("catalogue", "category", "product_id")
#: Before the names of the columns that hold the fields of a record, so that they are none of the Store's.
SHOWN = "shown_"
#: Which records a table's rows show with the user's fields: what stands before the names of their columns.
RECORDS = {"products": ("",), "pairs": ("left_", "right_")}
#: In which of the Store's catalogues a table's products are looked for.
CATALOGUES = {
    "reviews": "amazon_2018",
    "relations": "amazon_2018",
    "purchases": "amazon_2018",
    "judgements": "esci",
    "attributes": "mave",
}
#: In which the products of two catalogues are.
SIDES = {"left_id": "amazon", "right_id": "google"}
VALUES = {
    "relation": ("also_buy", "also_view", "similar"),
    "label": ("E", "S", "C", "I"),
    "field": ("title", "description", "feature", "brand", "price"),
    "split": ("train", "validation", "valid", "val", "dev", "test"),
}


def own_columns(root: Path, tables: OwnTables) -> dict[str, Columns]:
    """Return the Store's columns that each own table has, with their own names.

    Raises DataError where a table cannot be read or lacks a column that the config names.
    """
    found: dict[str, Columns] = {name: _mapped(name, table, root) for name, table in tables.named().items()}
    for name, table in tables.named().items():
        if name == "pairs" and table.fields is not None and not is_whole(name, found):
            raise DataError(
                "[sources.tables.pairs]: its rows name products by id, so give the fields in "
                "[sources.tables.products]."
            )
        lacking = [column for column in _fields(name, table) if column not in found[name]]
        if lacking:
            raise DataError(f"[sources.tables.{name}]: there is no column {lacking[0]}, but fields name it.")
    return found


def read(
    bench: Workbench, root: Path, tables: OwnTables, wanted: Collection[str], space: Path
) -> dict[str, ir.Table]:
    """Return the Store's tables, of those that are wanted and there; `space` takes copies of database tables.

    Raises DataError as `own_columns`, and where a column holds what it should not.
    """
    columns = own_columns(root, tables)
    usable = {
        name: table
        for name, table in tables.named().items()
        if columns[name].keys() >= kinds_of(name, columns)[0].keys()
    }
    found: dict[str, ir.Table] = {}
    shown: list[ir.Table] = []
    for name in (name for name in usable if name in wanted and name != "products"):
        rows = _rows(
            bench, name, table_file(name, usable[name], columns[name], root, space), columns, usable[name].fields
        )
        if is_whole(name, columns):
            rows = bench.keep(_filled(_with_ids(rows, name), name, columns[name]))
            shown.append(_shown(rows, name))
        else:
            rows = _filled(rows, name, columns[name])
        found[name] = rows
    if "products" in usable:
        path = table_file("products", usable["products"], columns["products"], root, space)
        by_id = {name: table for name, table in found.items() if not is_whole(name, columns)}
        rows = _rows(bench, "products", path, columns, usable["products"].fields)
        shown.append(_products(rows, by_id, columns["products"]))
    if shown:
        found["products"] = ibis.union(*shown) if len(shown) > 1 else shown[0]
    return {name: conform(table, name) for name, table in found.items()}


def _rows(
    bench: Workbench, name: str, path: Path, columns: Mapping[str, Columns], fields: Sequence[str] | None
) -> ir.Table:
    """Return a table's rows with the Store's columns, and those of its records of the user's `fields`: for each its
    fields (`SHOWN`, left_ or right_ of pairs, and the field) and all together, as the Store has them."""
    needed, optional = kinds_of(name, columns)
    kinds = {**needed, **optional}
    own = {column: given for column, given in columns[name].items() if column in kinds}
    by = [column for column in IDENTITY if column in own] if name == "products" else ()
    read = {column: (own[column], kinds[column]) for column in own}
    records = RECORDS[name] if fields is not None else ()
    for record in records:
        read |= {f"{SHOWN}{record}{field}": (columns[name][record + field], "text") for field in fields or ()}
    rows = bench.table(Part(path), TableForm(read, list(needed)), by)
    for record in records:
        pairs = [
            ibis.struct({"name": ibis.literal(field), "text": rows[f"{SHOWN}{record}{field}"]})
            for field in fields or ()
        ]
        rows = rows.mutate(**{f"{record}shown": ibis.array(pairs).filter(lambda pair: pair.text.notnull())})
    for column, kind in kinds.items():
        if column not in own:
            rows = rows.mutate(**{column: _nothing(kind)})
    for column, allowed in VALUES.items():
        if column in own and kinds[column] == "text":
            _refuse_others(bench, name, rows, column, allowed)
    return rows


def _with_ids(rows: ir.Table, name: str) -> ir.Table:
    """Return the rows with the ids of the records that they show: equal records have one id."""
    for column, record in FORMS[name].records.items():
        texts = [rows[record[part]] if part in record else ibis.null("string") for part in RECORD]
        side = SHOWN + column.removesuffix("id")
        texts += [rows[own] for own in rows.columns if own.startswith(side)]
        # The lengths say where each text ends.
        rows = rows.mutate(**{column: keyed("own record", *(text.length() for text in texts), *texts)})
    return rows


def _shown(rows: ir.Table, name: str) -> ir.Table:
    """Return the records that a table's rows show as products, each once."""
    products = [
        rows.select(
            catalogue=ibis.literal(SIDES.get(column) or CATALOGUES[name]),
            category=rows.category if "category" in rows.columns else ibis.literal(SHOP),
            product_id=rows[column],
            **{part: rows[record[part]] if part in record else ibis.null("string") for part in RECORD},
            **({"shown": rows[shown]} if (shown := column.removesuffix("id") + "shown") in rows.columns else {}),
        )
        for column, record in FORMS[name].records.items()
    ]
    once = ibis.union(*products, distinct=True) if len(products) > 1 else products[0].distinct()
    return conform(once, "products")


def _refuse_others(bench: Workbench, name: str, rows: ir.Table, column: str, allowed: Iterable[str]) -> None:
    text = rows[column].lower() if column == "split" else rows[column]
    other = rows.filter(text.notnull() & text.notin(list(allowed)))
    odd = bench.rows(other.aggregate(least=other[column].min()))[0]["least"]
    if odd is not None:
        raise DataError(f"The table {name} has {column} {odd!r}: it should be one of {', '.join(allowed)}.")


def _mapped(name: str, table: OwnTable, root: Path) -> dict[str, str]:
    form = FORMS[name]
    shown = (column for record in form.records.values() for column in record.values())
    known = list(dict.fromkeys([*form.needed, *form.optional, *shown, *_fields(name, table)]))
    unknown = [column for column in table.columns if column not in known]
    if unknown:
        raise DataError(f"[sources.tables.{name}]: there is no column {unknown[0]!r}; known: {', '.join(known)}.")
    if table.file is not None:
        there, where = file_columns(pieces([Part(root / table.file)])[0].path), Path(table.file).name
    else:
        there = table_columns(str(table.database), str(table.table), root)
        where = f"The table {table.table!r}"
    absent = [own for own in table.columns.values() if own not in there]
    if absent:
        raise DataError(f"{where} has no column {absent[0]!r}; it has {', '.join(there)}.")
    if there and not table.columns and not set(known) & set(there):
        raise DataError(
            f"{where} has none of the columns of a table {name} ({', '.join(known)}); it has "
            f"{', '.join(there)[:EXCERPT]}: map them with columns = {{...}} in [sources.tables.{name}]."
        )
    return {**{column: column for column in known if column in there}, **table.columns}


def _fields(name: str, table: OwnTable) -> list[str]:
    """Return the columns of the fields that a table's records show."""
    return [record + field for record in RECORDS.get(name, ()) for field in table.fields or ()]


def table_file(name: str, table: OwnTable, columns: Columns, root: Path, space: Path) -> Path:
    """Return the table's file; the columns of a database's table are copied to one first."""
    if table.file is not None:
        return root / table.file
    path = space / f"{name}.parquet"
    copy_table(str(table.database), str(table.table), list(columns.values()), root, path)
    return path


def _nothing(kind: str) -> ir.Value:
    """Return the null of a kind of column."""
    types = {"text": "string", "stars": "int8", "number": "int64", "time": "int64", "truth": "boolean"}
    types |= {"texts": "array<string>", "answers": "array<struct<text: string, helpful: int64>>"}
    return ibis.null(types[kind])


def _filled(rows: ir.Table, name: str, own: Columns) -> ir.Table:
    """Return the rows with what a shop's table need not say.

    Labelled rows have splits only where the table has a column for them: a row that names none is put where the hash
    of its query, or of its pair of products, falls.
    """
    if "category" in rows.columns:
        rows = rows.mutate(category=rows.category.fill_null(SHOP))
    if name == "reviews":
        empty = {column: rows[column].fill_null("") for column in ("product_id", "user_id")}
        return rows.mutate(**empty, time=rows.time.fill_null(0))
    if name == "pairs":
        rows = rows.mutate(label=ibis.ifelse(rows.label, "yes", "no"))
        split = eighty_ten_ten(keyed(0, "own pairs", rows.left_id, rows.right_id))
        return rows.mutate(split=_split(rows.split).fill_null(split)) if "split" in own else rows
    if name == "relations":
        swapped = rows.product_id > rows.other_id
        first = ibis.ifelse(swapped, rows.other_id, rows.product_id)
        second = ibis.ifelse(swapped, rows.product_id, rows.other_id)
        split = eighty_ten_ten(keyed(0, "own relations", first, second))
        return rows.mutate(split=_split(rows.split).fill_null(split)) if "split" in own else rows
    if name == "judgements":
        key = keyed(0, "own judgements", rows["query"].lower())
        # Where no row has a split, the tasks halve the test side into validation and test.
        side = eighty_ten_ten(key) if "split" in own else ibis.ifelse(key < TRAIN_BELOW, "train", "test")
        return rows.mutate(small=rows.small.fill_null(True), split=_split(rows.split).fill_null(side))
    if name == "attributes":
        split = eighty_ten_ten(keyed(0, "own attributes", rows.product_id))
        return rows.mutate(position=rows.position.fill_null(0), split=_split(rows.split).fill_null(split))
    if name == "questions":
        split = eighty_ten_ten(keyed(0, "own questions", normalised(rows.question)))
        return rows.mutate(
            product_id=rows.product_id.fill_null(""),
            kind=rows.kind.fill_null("descriptive"),
            answerable=rows.answerable.fill_null(rows.answers.notnull()),
            answers=ibis.coalesce(rows.answers, _no_answers()),
            split=_split(rows.split).fill_null(split),
        )
    return rows


def _split(split: ir.StringValue) -> ir.StringValue:
    return ibis.cases((split.lower().isin(["valid", "val", "dev"]), "validation"), else_=split.lower())


def _no_answers() -> ir.ArrayValue:
    """Return an empty array of answers."""
    return ibis.array([ibis.struct({"text": "", "helpful": ibis.literal(0, "int64")})])[:0]


def _once(products: ir.Table, *key: str) -> ir.Table:
    """Return one record of each value of the key: that of the category `SHOP`, else of the first in the alphabet."""
    order = [
        ibis.ifelse(products.category == SHOP, 0, 1),
        products.category,
        products.catalogue.fill_null(""),
        products.title,
    ]
    turn = ibis.row_number().over(group_by=list(key), order_by=order)
    return products.mutate(turn=turn).filter(lambda t: t.turn == 0).drop("turn")


def _products(rows: ir.Table, found: Mapping[str, ir.Table], own: Columns) -> ir.Table:
    """Return the products once for each of the Store's catalogues that the tables look into.

    Where they have categories or catalogues, an id may stand in several. Tables that name none find the product by
    its id alone: in the category `SHOP`, or in a catalogue of the Store's that has no categories.
    """
    rows = rows.mutate(category=rows.category.fill_null(SHOP), categories=ibis.coalesce(rows.categories, no_texts()))
    texts = ("title", "description", "feature", "price", "brand")
    there = ibis.array([ibis.ifelse(rows[name].notnull(), ibis.literal(name), ibis.null("string")) for name in texts])
    catalogues = sorted({CATALOGUES[name] for name in found if name in CATALOGUES})
    single = not {"category", "catalogue"} & own.keys()
    once = rows if single else _once(rows, "product_id")
    per_category = _once(rows, "category", "product_id") if "catalogue" in own else rows
    copies = [
        (per_category if name == CATALOGUES["relations"] else once).mutate(
            catalogue=ibis.literal(name),
            fields=there.filter(lambda name: name.notnull()) if name == "mave" else no_texts(),
        )
        for name in catalogues
    ]
    if "category" in own and CATALOGUES["relations"] in catalogues:
        without = once.filter(once.category != SHOP).mutate(category=ibis.literal(SHOP))
        copies.append(without.mutate(catalogue=ibis.literal(CATALOGUES["relations"])))
    if "matches" in found:
        for side, name in SIDES.items():
            matched = rows.semi_join(found["matches"], rows.product_id == found["matches"][side])
            shops = matched.select("catalogue").distinct()
            copies.append(rows.semi_join(shops, "catalogue").mutate(catalogue=ibis.literal(name)))
    if "pairs" in found:  # of which no others are drawn: only these products are needed
        for side, name in SIDES.items():
            paired = rows.semi_join(found["pairs"], rows.product_id == found["pairs"][side])
            copies.append(paired.mutate(catalogue=ibis.literal(name)))
    chosen = [conform(copy, "products") for copy in copies or [rows]]
    return ibis.union(*chosen) if len(chosen) > 1 else chosen[0]
