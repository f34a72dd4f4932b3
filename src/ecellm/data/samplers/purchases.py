"""The purchases that SR draws from: of products that can be shown, by users and of items that have enough of them."""

from functools import reduce
from operator import and_

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import BRAND, CATEGORY, Draw, Plan
from ecellm.data.samplers.drawing import branded, is_code, outside
from ecellm.data.schema import Store
from ecellm.types import Domain

CORE = 5


def purchases_of(store: Store, plan: Plan, domain: Domain) -> ir.Table:
    """Return the purchases of a domain."""
    there = store["purchases"].filter(lambda t: t.category.isin(plan.categories(domain)))
    if plan.by == CATEGORY:
        return there
    placed = branded(store, there) if plan.by == BRAND else there
    held = outside(placed, plan)
    return placed.filter(held if domain == "OOD" else ~held).select(*there.columns)


def core(store: Store, purchases: ir.Table, drawn: Draw) -> ir.Table:
    """Return the purchases left when products without metadata or with page code for a title, then users and items
    with fewer than 5 purchases, are gone (repeated until nothing changes)."""
    item = ["category", "product_id"]
    titled = described(store).mutate(code=lambda t: is_code(t.title).fill_null(False).cast("int8"))
    names = titled.select(*item, "code").distinct()
    rows = purchases.distinct()
    rows = store.keep(rows.left_join(names, item).select(*purchases.columns, "code"))
    known = rows.filter(rows.code.notnull())
    here = known.filter(known.code == 0).drop("code")
    counted = rows.aggregate(
        rows=rows.count(), described=rows.code.count(), named=(rows.code == 0).sum().fill_null(0)
    )
    (first,) = store.rows(counted)
    kept = _often(store, here)
    columns = purchases.columns
    turn = ibis.row_number().over(group_by=columns, order_by=columns)
    lost = (
        ("purchase repeats", purchases.mutate(turn=turn).filter(lambda t: t.turn > 0).drop("turn")),
        ("purchase of a product without metadata", rows.filter(rows.code.isnull()).drop("code")),
        ("purchase of a product whose title is page code", known.filter(known.code == 1).drop("code")),
        (f"purchase of a user or item with fewer than {CORE}", here.anti_join(kept, columns)),
    )
    counts = [store.count(purchases), first["rows"], first["described"], first["named"], store.count(kept)]
    for step, (reason, left_out) in enumerate(lost):
        drawn.drop(reason, counts[step] - counts[step + 1], left_out)
    return kept


def _often(store: Store, purchases: ir.Table) -> ir.Table:
    """Return the distinct purchases less users and items with fewer than 5, and again, until nothing changes.

    Most go at first. Then few go at a time, and what they leave is counted by what goes alone: to count all that stay
    again and again takes three times as long.
    """
    kept = purchases
    first = _counted(store, purchases)
    for key, counts in first:
        kept = kept.anti_join(counts.filter(counts.n < CORE), key)
    kept = store.keep(kept)
    left = _counted(store, kept)
    gone = store.keep(kept.limit(0))
    while True:
        few = [kept.semi_join(counts.filter(counts.n.between(1, CORE - 1)), key) for key, counts in left]
        going = store.keep(few[0].union(few[1], distinct=True).anti_join(gone, kept.columns))
        if not store.count(going):
            break
        gone = store.keep(gone.union(going))
        left = [(key, store.keep(_less(counts, going, key))) for key, counts in left]
    often = store.keep(kept.anti_join(gone, kept.columns))
    for table in (kept, *(counts for _, counts in (*first, *left))):
        store.engine.forget(table)
    return often


def _counted(store: Store, purchases: ir.Table) -> list[tuple[list[str], ir.Table]]:
    """Return the columns that tell users and items, with how often each stands there."""
    keys = [["category", "user_id"], ["category", "product_id"]]
    return [(key, store.keep(purchases.group_by(key).agg(n=purchases.count()))) for key in keys]


def _less(counts: ir.Table, going: ir.Table, key: list[str]) -> ir.Table:
    """Return counts less what goes."""
    fewer = counts.left_join(going.group_by(key).agg(gone=going.count()), key)
    return fewer.select(*key, n=fewer.n - fewer.gone.fill_null(0))


def described(store: Store) -> ir.Table:
    """Return category, product_id, title, brand and categories of 2018's products, of which something can be shown.
    2014's title and brand fill what is empty in 2018's."""
    columns = ["category", "product_id", "title", "brand"]
    new = store.catalogue("amazon_2018").select(*columns, "categories")
    old = store.catalogue("amazon_2014").select(*columns)
    both = new.left_join(old, ["category", "product_id"], rname="old_{name}")
    title, brand = (ibis.coalesce(both[name].nullif(""), both[f"old_{name}"]) for name in ("title", "brand"))
    filled = both.select("category", "product_id", title=title, brand=brand, categories=both.categories)
    empty = [(text.fill_null("") == "") for text in (filled.title, filled.brand, *first_categories(filled))]
    return filled.filter(~reduce(and_, empty))


def first_categories(products: ir.Table) -> tuple[ir.StringValue, ir.StringValue]:
    """Return the first two categories, null where there are fewer."""
    return _at(products.categories, 0), _at(products.categories, 1)


def _at(texts: ir.ArrayValue, place: int) -> ir.StringValue:
    return ibis.ifelse(texts.length() > place, texts[place], ibis.null("string"))
