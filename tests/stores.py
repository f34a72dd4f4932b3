"""Hand-made Stores: rows as dictionaries, missing columns null or empty."""

from collections.abc import Iterable, Mapping
from typing import Any

import ibis
import pyarrow as pa

from ecellm.data.schema import SCHEMAS, Store

EMPTY: Mapping[str, Any] = {"categories": [], "fields": [], "category": "", "snippets": [], "answers": []}


def store(**tables: Iterable[Mapping[str, Any]]) -> Store:
    """Return a Store of these rows, in this order."""
    made = {}
    for name, rows in tables.items():
        columns = SCHEMAS[name].names
        full = [{column: row.get(column, EMPTY.get(column)) for column in columns} for row in rows]
        made[name] = ibis.memtable(pa.Table.from_pylist(full, schema=SCHEMAS[name].to_pyarrow()))
    return Store(made)
