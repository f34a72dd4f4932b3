"""PRP, product relation prediction: are two products bought together, viewed together, or alike?

Source: Amazon Review 2018 metadata (also_buy, also_view, similar_item), pairs within one category.

    input    {"Product 1:": "Tripod for DSLR", "Product 2:": "DSLR Camera 24 MP"}
    options  ["A: Shoppers who buy the first also buy the second", "B: ...", "C: ..."]
    output   A
    metric   macro F1
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from ecellm.records import Domain, Sample, Split, sample_id
from ecellm.tasks.answers import Letter
from ecellm.tasks.drawing import by_category, categories_of, eighty_ten_ten, firsts
from ecellm.tasks.pieces import Cut, Path, input_and_options
from ecellm.tasks.task import Draw, Pieces, Plan, Task

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

LETTERS = {"also_buy": "A", "also_view": "B", "similar": "C"}
OPTIONS = [
    "A: Shoppers who buy the first product also buy the second",
    "B: Shoppers who look at the first product also look at the second",
    "C: The first product is similar to the second",
]
#: A title that holds one of these is a piece of the shop's page, not a name.
MARKUP = ("<", "{", "getTime")


def draw(store: Store, plan: Plan) -> Draw:
    """Draw title pairs of which exactly one relation holds; the direction is lost by sorting the titles."""
    from ecellm.store import keyed

    pairs, dropped = _pairs(store)
    key = keyed(plan.seed, "PRP", pairs.first, pairs.second)
    pairs = pairs.mutate(key=key, split=eighty_ten_ten(keyed(plan.seed, "PRP split", key)))
    drawn = firsts(store, pairs, "key", by_category(plan), ("split", "category"))
    samples = []
    for split, domain in plan.quotas:
        rows = [row for category in categories_of(plan, domain) for row in drawn.get((split, category), [])]
        rows.sort(key=lambda row: (row["key"], row["category"]))
        samples += [_sample(row, split, domain) for row in rows[: plan.enough(split, domain)]]
    return Draw(samples, dropped)


def _pairs(store: Store) -> tuple[ir.Table, Counter[str]]:
    """Return category, first, second, first_id, second_id, relation, and what was left out."""
    import ibis

    products = store["products"]
    named = products.filter((products.catalogue == "amazon_2018") & products.title.notnull())
    title = named.title.strip()
    good = title != ""
    for sign in MARKUP:
        good = good & ~title.contains(sign)
    titles = named.mutate(title=title).filter(good).select("category", "product_id", "title")
    relations = store["relations"]
    one = relations.inner_join(titles, ["category", "product_id"])
    other = titles.select("category", other_id=titles.product_id, other_title=titles.title)
    both = one.inner_join(other, ["category", "other_id"])
    swapped = both.title > both.other_title
    both = store.keep(
        both.select(
            "category",
            "relation",
            first=ibis.ifelse(swapped, both.other_title, both.title),
            second=ibis.ifelse(swapped, both.title, both.other_title),
            first_id=ibis.ifelse(swapped, both.other_id, both.product_id),
            second_id=ibis.ifelse(swapped, both.product_id, both.other_id),
        )
    )
    ordered = both.filter(both["first"] != both.second)
    pairs = ordered.group_by(["category", "first", "second"]).agg(
        kinds=ordered.relation.nunique(),
        relation=ordered.relation.min(),
        first_id=ordered.first_id.min(),
        second_id=ordered.second_id.min(),
    )
    pairs = store.keep(pairs)
    counts = {
        "relation to a product without a usable title": store.count(relations) - store.count(both),
        "pair of equal titles": store.count(both) - store.count(ordered),
        "pair has several relations": store.count(pairs.filter(pairs.kinds > 1)),
    }
    return pairs.filter(pairs.kinds == 1).drop("kinds"), +Counter(counts)


def _sample(row: dict[str, Any], split: Split, domain: Domain) -> Sample:
    text = json.dumps({"Product 1:": row["first"], "Product 2:": row["second"]})
    options = json.dumps(OPTIONS)
    return Sample(
        id=sample_id("PRP", domain, text, options),
        task="PRP",
        domain=domain,
        split=split,
        input=text,
        options=options,
        output=LETTERS[row["relation"]],
        category=row["category"],
        products=(f"amazon_2018|{row['first_id']}", f"amazon_2018|{row['second_id']}"),
    )


def pieces(sample: Sample) -> Pieces:
    """Shorten the two titles evenly, then the options."""

    def rule(path: Path, value: str) -> Cut | None:
        return Cut(rank=1)

    return input_and_options(sample, rule)


TASK = Task(
    name="PRP",
    title="Product_Relation_Prediction",
    aliases=("Product_Relation_Predicition",),
    instructions=(
        "How are the two products related? Answer with the letter of the right option.",
        "Look at both titles, work out how shoppers connect the two products, and give the option's letter.",
        "Choose the option that describes the relation of product 1 and product 2. Reply with its letter only.",
        "Are these products bought together, viewed together, or alike? Output the letter that applies.",
        "Pick the letter of the statement that holds for this pair of products.",
        "Name, by its letter alone, the link between the two products that a shop would see in its data.",
    ),
    answer=Letter("ABCDE"),
    metric="macro_f1",
    out_of_domain=True,
    needs=("products", "relations"),
    draw=draw,
    pieces=pieces,
)
