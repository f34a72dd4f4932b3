"""Drawing SA: distinct review texts of Amazon Review 2018 with their stars."""

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import BRAND, CATEGORY, TIME, Draw, Plan, Sampler
from ecellm.data.samplers.drawing import branded, draw_rows, outside, split_of, stripped
from ecellm.data.schema import Row, Store, keyed
from ecellm.tasks.sa import MOST_STARS, OPTIONS, write
from ecellm.types import Domain, Example, Split, new_example

FEWEST_WORDS = 10


def draw(store: Store, plan: Plan) -> Draw:
    """Draw distinct review texts, an equal share per category; the text decides the split.

    The paper keeps repeated texts, which leak from train to test; here a text counts once per category and
    domain, and one whose stars differ from row to row is filtered out.
    """
    found = Draw()
    drawn = draw_rows(store, _texts(store, plan, found), plan)
    parts = {part: drawn.in_turn(*part) for part in plan.quotas}
    shown = _shown(store, [row for rows in parts.values() for row in rows], plan.seed)
    for (split, domain), rows in parts.items():
        found.examples += [_sample({**row, "text": shown[row["key"]]}, split, domain) for row in rows]
    return found


def _texts(store: Store, plan: Plan, found: Draw) -> ir.Table:
    """Return the distinct texts that are long enough: category, key, stars, answer, product_id, split, outside.
    A text is identified by its key, whatever white space is at its ends: the texts would fill the memory."""
    reviews = store["reviews"]
    wanted = reviews.filter(reviews.category.isin({*plan.categories("IND"), *plan.categories("OOD")}))
    placed = branded(store, wanted) if plan.by == BRAND else wanted
    # Words as the paper counts them: what single spaces divide.
    enough = placed.text.re_search(f"^([^ ]* ){{{FEWEST_WORDS - 1}}}") & (stripped(placed.text) != "")
    long = placed.mutate(outside=outside(placed, plan)).filter(enough)
    long = long.mutate(key=keyed(plan.seed, "SA", stripped(long.text)))
    texts = long.group_by(["category", "key"]).agg(
        rows=long.count(),
        stars=long.stars.min(),
        most=long.stars.max(),
        product_id=long.product_id.min(),
        outside=long.outside.max(),
    )
    texts = store.keep(texts)
    clear = texts.filter(texts.stars == texts.most).drop("most", "rows")
    torn = texts.filter(texts.stars != texts.most).select("category", "key", "stars", "most")
    turn = ibis.row_number().over(group_by=["category", "key"], order_by=["product_id", "user_id"])
    lost = (
        (f"review has fewer than {FEWEST_WORDS} words", placed.filter(~enough)),
        ("review text repeats", long.mutate(turn=turn).filter(lambda t: t.turn > 0).drop("turn")),
        ("equal texts have different stars", torn.inner_join(long.group_by("key").agg(text=long.text.min()), "key")),
    )
    counts = [store.count(wanted), store.sum(texts, "rows"), store.count(texts), store.count(clear)]
    for step, (reason, rows) in enumerate(lost):
        found.drop(reason, counts[step] - counts[step + 1], rows)
    return clear.mutate(split=split_of(clear.key), answer=clear.stars.cast("string"))


def _shown(store: Store, rows: list[Row], seed: int) -> dict[str, str]:
    """Collect the drawn texts by key, from the reviews of their products alone; of texts with other white space at
    their ends the first."""
    products = store.given(rows, category="string", product_id="string")
    near = store["reviews"].semi_join(products, ["category", "product_id"]).select("text").distinct()
    texts = near.mutate(key=keyed(seed, "SA", stripped(near.text))).semi_join(store.given(rows, key="string"), "key")
    return {row["key"]: row["text"] for row in store.rows(texts.group_by("key").agg(text=texts.text.min()))}


def _sample(row: Row, split: Split, domain: Domain) -> Example:
    text, options = write(row)
    output = OPTIONS[MOST_STARS - row["stars"]]
    # A shop's own reviews may name no product; an empty id would be one product that all of them share.
    products = (f"amazon_2018|{row['product_id']}",) if row["product_id"] else ()
    return new_example("SA", domain, split, text, options, output, category=row["category"], products=products)


SAMPLER = Sampler(draw, needs=("reviews",), domains=(CATEGORY, BRAND, TIME), has_classes=True)
