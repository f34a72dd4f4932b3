"""Drawing rows from the Store, shared by the task files: splits and quotas by keyed hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecellm.records import Split

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

#: Hexadecimal marks of 80 % and 90 % of the range of a keyed hash.
TRAIN_BELOW, VALIDATION_BELOW = "cccccccc", "e6666666"


def eighty_ten_ten(key: ir.StringValue) -> ir.StringValue:
    """Return the split that a keyed hash falls in: 80 % train, 10 % validation, 10 % test."""
    import ibis

    return ibis.cases((key < TRAIN_BELOW, "train"), (key < VALIDATION_BELOW, "validation"), else_="test")


def normalised(text: ir.StringValue) -> ir.StringValue:
    """Return the text in lower case with single spaces for white space: equal results are the same text."""
    return text.re_replace(r"[\t\n\x0B\f\r ]+", " ").strip().lower()


def first_by_split(
    store: Store, table: ir.Table, key: str, counts: dict[Split, int]
) -> dict[Split, list[dict[str, Any]]]:
    """Collect, for each split of the table's `split` column, its `count` rows with the smallest keys."""
    return {
        split: store.first(table.filter(table.split == split), key, count) if count else []
        for split, count in counts.items()
    }
