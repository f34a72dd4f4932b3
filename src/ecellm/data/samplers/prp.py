"""Drawing PRP: pairs of products of which the metadata of Amazon Review 2018 says exactly one relation."""

from itertools import pairwise

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import BRAND, CATEGORY, Draw, Plan, Sampler
from ecellm.data.samplers.drawing import draw_rows, is_code, outside, split_of, stripped
from ecellm.data.schema import Row, Store, keyed
from ecellm.tasks.prp import LETTERS, write
from ecellm.types import Domain, Example, Split, new_example

EQUAL = "pair of equal titles"


def draw(store: Store, plan: Plan) -> Draw:
    """Draw title pairs of which exactly one relation holds, an equal share per category; the direction is lost by
    sorting the titles.

    Out of domain by brand, both products are of a brand held out; in domain, neither. Pairs of a user's own that say
    their split are all kept.
    """
    found = Draw()
    both, lost = _titled(store, plan)
    pairs = _as_given(store, both, lost, found) if plan.given_split else _pairs(store, both, lost, found)
    drawn = draw_rows(store, pairs, plan)
    parts = {part: drawn.in_turn(*part) for part in plan.quotas}
    titles = _shown(store, [row for rows in parts.values() for row in rows])
    for (split, domain), rows in parts.items():
        found.examples += [_sample(row, titles, split, domain) for row in rows]
    return found


Lost = tuple[str, "ir.Table"]


def _titled(store: Store, plan: Plan) -> tuple[ir.Table, Lost]:
    """Return the relations of which both products have a title, with those that are lost and why.

    The first product is the one whose title sorts first. A pair of titles is identified by its key: the titles
    themselves would fill the memory.
    """
    titles = _titles(store.catalogue("amazon_2018"))
    titles = store.keep(titles.mutate(outside=outside(titles, plan)).drop("brand"))
    relations = store["relations"]
    one = relations.inner_join(titles, ["category", "product_id"])
    other = titles.select("category", other_id="product_id", other_title="title", other_outside="outside")
    both = one.inner_join(other, ["category", "other_id"])
    swapped = both.title > both.other_title
    first = ibis.ifelse(swapped, both.other_title, both.title)
    second = ibis.ifelse(swapped, both.title, both.other_title)
    both = both.select(
        "category",
        "relation",
        "split",
        "outside",
        number=_number(both.relation),
        key=keyed(plan.seed, "PRP", first, second),
        apart=first != second,
        crossing=both.outside != both.other_outside,
        first_id=ibis.ifelse(swapped, both.other_id, both.product_id),
        second_id=ibis.ifelse(swapped, both.product_id, both.other_id),
    )
    return both, ("relation to a product without a usable title", _untitled(relations, titles))


def _as_given(store: Store, both: ir.Table, lost: Lost, found: Draw) -> ir.Table:
    """Return every pair of different titles in the split that its table says, with the columns of `_pairs`."""
    reason, untitled = lost
    found.drop(reason, store.count(untitled), untitled)
    equal = both.filter(~both.apart).drop("number")
    found.drop(EQUAL, store.count(equal), equal)
    pairs = both.filter(both.apart).drop("apart", "crossing", "number").mutate(answer=both.relation)
    # A pair may stand there twice, or with two relations: the order must be the same on every engine.
    columns = (pairs[name] for name in ("key", "relation", "first_id", "second_id"))
    return pairs.mutate(key=keyed("PRP given", *columns))


def _pairs(store: Store, both: ir.Table, lost: Lost, found: Draw) -> ir.Table:
    """Return category, key, first_id, second_id, relation, answer, outside and split of each pair of titles."""
    grouped = store.keep(
        both.group_by(["category", "key", "apart", "crossing"]).agg(
            rows=both.count(),
            number=both.number.min(),
            last=both.number.max(),
            first_id=both.first_id.min(),
            second_id=both.second_id.min(),
            outside=both.outside.max(),
        )
    )
    good = grouped.apart & ~grouped.crossing
    pairs = grouped.filter(good).drop("apart", "crossing")
    named = pairs.mutate(relation=_name(pairs.number), last=_name(pairs["last"]))
    clear = named.filter(pairs.number == pairs["last"]).drop("last", "rows", "number")
    shown = both.drop("split")
    reasons = (
        lost,
        (EQUAL, shown.filter(~shown.apart).drop("number")),
        ("pair has one product out of domain", shown.filter(shown.apart & shown.crossing).drop("number")),
        ("pair has several relations", named.filter(pairs.number != pairs["last"]).drop("rows", "number")),
    )
    (counted,) = store.rows(
        grouped.aggregate(
            titled=grouped.rows.sum(),
            apart=grouped.rows.sum(where=grouped.apart),
            good=grouped.rows.sum(where=good),
            torn=(good & (grouped.number != grouped["last"])).sum(),
        )
    )
    counts = [store.count(store["relations"]), *(int(counted[name] or 0) for name in ("titled", "apart", "good"))]
    left_out = [*(before - after for before, after in pairwise(counts)), int(counted["torn"] or 0)]
    for (reason, rows), count in zip(reasons, left_out, strict=True):
        found.drop(reason, count, rows)
    return clear.mutate(split=split_of(clear.key), answer=clear.relation)


def _number(relation: ir.StringValue) -> ir.IntegerValue:
    """Return a relation's place in `LETTERS`, its texts' own order: numbers take less time and memory than texts."""
    return ibis.cases(*((relation == name, place) for place, name in enumerate(LETTERS))).cast("int8")


def _name(number: ir.IntegerValue) -> ir.StringValue:
    return ibis.cases(*((number == place, name) for place, name in enumerate(LETTERS)))


def _titles(products: ir.Table) -> ir.Table:
    """Return the products whose title is a name."""
    named = products.filter(lambda t: t.title.notnull())
    good = (stripped(named.title) != "") & ~is_code(named.title)
    return named.filter(good).select("category", "product_id", "brand", "title")


def _untitled(relations: ir.Table, titles: ir.Table) -> ir.Table:
    """Return the relations of which a product has no usable title."""
    known = titles.select("category", "product_id", named=titles.title)
    other = known.select("category", other_id="product_id", other_named="named")
    both = relations.left_join(known, ["category", "product_id"]).select(*relations.columns, "named")
    both = both.left_join(other, ["category", "other_id"]).select(*both.columns, "other_named")
    return both.filter(both.named.isnull() | both.other_named.isnull()).select(*relations.columns)


def _shown(store: Store, rows: list[Row]) -> dict[tuple[str, str], str]:
    """Collect the titles of the drawn products, by category and product."""
    sides = [
        {"category": row["category"], "product_id": row[side]} for row in rows for side in ("first_id", "second_id")
    ]
    drawn = store.given(sides, category="string", product_id="string")
    near = store.catalogue("amazon_2018").semi_join(drawn, ["category", "product_id"]).view()
    found = store.rows(_titles(near))
    return {(row["category"], row["product_id"]): row["title"] for row in found}


def _sample(row: Row, titles: dict[tuple[str, str], str], split: Split, domain: Domain) -> Example:
    first, second = (titles[row["category"], row[side]] for side in ("first_id", "second_id"))
    text, options = write({"title_1": first, "title_2": second})
    output, products = LETTERS[row["relation"]], (f"amazon_2018|{row['first_id']}", f"amazon_2018|{row['second_id']}")
    return new_example("PRP", domain, split, text, options, output, category=row["category"], products=products)


SAMPLER = Sampler(draw, needs=("products", "relations"), domains=(CATEGORY, BRAND), has_classes=True)
