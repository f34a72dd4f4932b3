"""Ids of a shop's own tables that differ from those of its products only in how they are written."""

from collections.abc import Mapping
from pathlib import Path

import ibis.expr.types as ir

from ecellm.data.config import OwnTables
from ecellm.data.convert import TableForm
from ecellm.data.engines.base import Part, Workbench
from ecellm.data.readers.custom_tables import table_file
from ecellm.data.readers.custom_tables_columns import FORMS, Columns, is_whole
from ecellm.data.schema import Store

#: What a spreadsheet or a float column adds to an id, or takes from it.
ADDED = r"^[\s0]+|\.0+\s*$|\s+$"
IDS = ("product_id", "other_id", "left_id", "right_id")


def differing_ids(
    bench: Workbench, root: Path, tables: OwnTables, columns: Mapping[str, Columns], store: Store
) -> str:
    """Return a sentence on an id that is none of a product's but for zeros, case or white space; empty where there
    is none. It reads the table of products again."""
    table, own = tables.products, columns.get("products", {})
    if table is None or "product_id" not in own:
        return ""
    form = TableForm({"product_id": (own["product_id"], "text")}, ["product_id"])
    products = bench.table(Part(table_file("products", table, own, root, bench.temporary)), form)
    for name in (name for name in columns if name != "products" and not is_whole(name, columns)):
        for column in (column for column in IDS if column in FORMS[name].needed and name in store.tables):
            rows = store[name]
            unknown = rows.anti_join(products, rows[column] == products.product_id)
            ids = unknown.select(id=unknown[column], bare=_bare(unknown[column])).distinct()
            known = products.select(known=products.product_id, bare=_bare(products.product_id))
            if found := store.rows(ids.inner_join(known, "bare").order_by(["id", "known"]).limit(1)):
                [pair] = found
                return (
                    f" {name}.{column} has {pair['id']!r} where products.product_id has {pair['known']!r}: write the "
                    "ids alike."
                )
    return ""


def _bare(text: ir.StringValue) -> ir.StringValue:
    return text.lower().re_replace(ADDED, "")
