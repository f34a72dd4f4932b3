"""Drawing rows from the Store, shared by the task files: splits and quotas by keyed hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecellm.records import Domain, Split
from ecellm.tasks.task import Plan

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


def by_category(plan: Plan) -> dict[tuple[str, ...], int]:
    """Return how many rows to draw of each split and category: each category may have to fill the whole quota."""
    return {
        (split, category): plan.enough(split, domain)
        for (split, domain), quota in plan.quotas.items()
        for category in categories_of(plan, domain)
        if quota
    }


def categories_of(plan: Plan, domain: Domain) -> tuple[str, ...]:
    """Return the categories of a domain."""
    return plan.in_domain if domain == "IND" else plan.out_of_domain


def firsts(
    store: Store, table: ir.Table, key: str, wanted: Mapping[tuple[str, ...], int], by: tuple[str, ...]
) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Collect, for each group of the columns `by` that is wanted, its so many rows with the smallest keys, in that
    order; in one query, however many groups there are."""
    import ibis

    found: dict[tuple[str, ...], list[dict[str, Any]]] = {group: [] for group in wanted}
    rows = [{**dict(zip(by, group, strict=True)), "wanted": count} for group, count in wanted.items()]
    counts = store.given(rows, **dict.fromkeys(by, "string"), wanted="int64")
    place = ibis.row_number().over(group_by=by, order_by=key)
    chosen = table.inner_join(counts, by).mutate(place=place).filter(lambda t: t.place < t.wanted)
    for row in store.rows(chosen.drop("wanted", "place").order_by(key)):
        found[tuple(row[name] for name in by)].append(row)
    return found
