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
    pairs, dropped = _pairs(store, plan.seed)
    drawn = firsts(store, pairs, "key", by_category(plan), ("split", "category"))
    titles = _shown(store, [row for rows in drawn.values() for row in rows])
    samples = []
    for split, domain in plan.quotas:
        rows = [row for category in categories_of(plan, domain) for row in drawn.get((split, category), [])]
        rows.sort(key=lambda row: (row["key"], row["category"]))
        samples += [_sample(row, titles, split, domain) for row in rows[: plan.enough(split, domain)]]
    return Draw(samples, dropped)


def _pairs(store: Store, seed: int) -> tuple[ir.Table, Counter[str]]:
    """Return category, key, first_id, second_id, relation and split, and what was left out.

    A pair of titles is told by its key: the titles themselves would fill the memory.
    """
    import ibis

    from ecellm.store import keyed

    titles = _titles(store)
    relations = store["relations"]
    one = relations.inner_join(titles, ["category", "product_id"])
    other = titles.select("category", other_id=titles.product_id, other_title=titles.title)
    both = one.inner_join(other, ["category", "other_id"])
    swapped = both.title > both.other_title
    first = ibis.ifelse(swapped, both.other_title, both.title)
    second = ibis.ifelse(swapped, both.title, both.other_title)
    both = store.keep(
        both.select(
            "category",
            "relation",
            key=keyed(seed, "PRP", first, second),
            apart=first != second,
            first_id=ibis.ifelse(swapped, both.other_id, both.product_id),
            second_id=ibis.ifelse(swapped, both.product_id, both.other_id),
        )
    )
    different = both.filter(both.apart)
    pairs = store.keep(
        different.group_by(["category", "key"]).agg(
            relation=different.relation.min(),
            last=different.relation.max(),
            first_id=different.first_id.min(),
            second_id=different.second_id.min(),
        )
    )
    clear = pairs.filter(pairs.relation == pairs["last"]).drop("last")
    named, unequal = store.count(both), store.count(different)
    counts = {
        "relation to a product without a usable title": store.count(relations) - named,
        "pair of equal titles": named - unequal,
        "pair has several relations": store.count(pairs) - store.count(clear),
    }
    return clear.mutate(split=eighty_ten_ten(keyed(seed, "PRP split", clear.key))), +Counter(counts)


def _titles(store: Store) -> ir.Table:
    """Return the products whose title is a name."""
    products = store["products"]
    named = products.filter((products.catalogue == "amazon_2018") & products.title.notnull())
    title = named.title.strip()
    good = title != ""
    for sign in MARKUP:
        good = good & ~title.contains(sign)
    return named.mutate(title=title).filter(good).select("category", "product_id", "title")


def _shown(store: Store, rows: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Collect the titles of the drawn products, by category and product."""
    sides = [
        {"category": row["category"], "product_id": row[side]} for row in rows for side in ("first_id", "second_id")
    ]
    drawn = store.given(sides, category="string", product_id="string")
    found = store.rows(_titles(store).semi_join(drawn, ["category", "product_id"]))
    return {(row["category"], row["product_id"]): row["title"] for row in found}


def _sample(row: dict[str, Any], titles: dict[tuple[str, str], str], split: Split, domain: Domain) -> Sample:
    first, second = (titles[row["category"], row[side]] for side in ("first_id", "second_id"))
    text = json.dumps({"Product 1:": first, "Product 2:": second})
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
