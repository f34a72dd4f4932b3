"""Drawing PM: the matches of Amazon-Google Products and as many non-matches, or labelled pairs of one's own."""

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import Draw, Plan, Sampler
from ecellm.data.samplers.drawing import first_by_split, stripped
from ecellm.data.schema import Row, Store, keyed
from ecellm.tasks.pm import RECORD, records_text, write
from ecellm.types import Example, Split, new_example

#: Negatives that read alike: of so many nearest titles each, by words that so many products have at most.
NEAR, NEAREST, COMMON = "near", 5, 200
#: The catalogues whose records stand left and right.
SIDES = {"left": "amazon", "right": "google"}


def draw(store: Store, plan: Plan) -> Draw:
    """Draw matches and as many random non-matches, split 80/10/10 by pair (paper, appendix on PM).

    The shares are exact, as in the paper: its 2,528 pairs make 2,022, 253 and 253. With `near` negatives, the
    non-matches are each Amazon product's most alike Google title instead, for random ones are too easy to tell.
    Where the Store has labelled pairs, these are drawn instead, in the splits that they name.
    """
    found = Draw()
    if "pairs" in store.tables:
        pairs = store.keep(_labelled(store, plan, found))
        # One pair may have both labels.
        identity: list[ir.Value | str] = [pairs.left_id, pairs.right_id, pairs.answer]
    else:
        yes, no = _pairs(store, plan.seed, plan.negatives == NEAR, found)
        both = yes.mutate(answer=ibis.literal("yes")).union(no.mutate(answer=ibis.literal("no")))
        pairs = store.keep(both.mutate(split=ibis.null("string")))
        identity = [pairs.left_id, pairs.right_id]
    split = _split(store, pairs, keyed(plan.seed, "PM split", *identity))
    pairs = pairs.mutate(key=keyed(plan.seed, "PM", *identity), split=split)
    counts = {split: plan.enough(split, domain) for split, domain in plan.quotas if domain == "IND"}
    rows = first_by_split(store, pairs, "key", counts)
    found.examples = [_sample(row, split) for split, part in rows.items() for row in part]
    return found


def _split(store: Store, pairs: ir.Table, key: ir.StringValue) -> ir.StringValue:
    """Return the split that a pair names; the pairs that name none are divided 80/10/10, to the row, by key."""
    named = pairs.split.notnull()
    count = store.count(pairs.filter(~named))
    place = ibis.row_number().over(group_by=named, order_by=key)
    train, validation = round(0.8 * count), round(0.9 * count)
    return ibis.cases(
        (named, pairs.split), (place < train, "train"), (place < validation, "validation"), else_="test"
    )


def _labelled(store: Store, plan: Plan, found: Draw) -> ir.Table:
    """Return the labelled pairs with their records; `found` counts those whose records are not known.

    Where no split is given a pair of texts counts once a label, as a match does; pairs of a given split all stay.
    """
    records = {side: _record(store.catalogue(name), side).distinct() for side, name in SIDES.items()}
    pairs = store["pairs"].rename(answer="label")
    columns = pairs.columns
    for side, table in records.items():
        known = table.group_by(f"{side}_id").agg(**{f"{side}_records": table.count()})
        pairs = pairs.left_join(known, f"{side}_id").select(*pairs.columns, f"{side}_records")
    pairs = store.keep(pairs)
    absent = pairs.left_records.isnull() | pairs.right_records.isnull()
    unclear = ~absent & ((pairs.left_records > 1) | (pairs.right_records > 1))
    for reason, bad in (("is not there", absent), ("has several records", unclear)):
        unused = pairs.filter(bad).select(*columns)
        found.drop(f"pair names a product that {reason}", store.count(unused), unused)
    clear = pairs.filter(~absent & ~unclear).select(*columns)
    shown = clear.inner_join(records["left"], "left_id").inner_join(records["right"], "right_id")
    if plan.given_split:
        return shown
    texts = [name for name in shown.columns if name not in ("left_id", "right_id", "split")]
    turned = store.keep(
        shown.mutate(turn=ibis.row_number().over(group_by=texts, order_by=["left_id", "right_id", "split"]))
    )
    repeats = turned.filter(turned.turn > 0).select(*columns)
    found.drop("pair repeats another", store.count(repeats), repeats)
    return turned.filter(turned.turn == 0).drop("turn")


def _pairs(store: Store, seed: int, near: bool, found: Draw) -> tuple[ir.Table, ir.Table]:
    """Return the matching pairs and as many non-matching ones; `found` counts what is filtered out."""
    records = {side: _record(store.catalogue(name), side) for side, name in SIDES.items()}
    # Random and near pairs are chosen by these alone: whole records would be moved about for nothing.
    left, right = (table.select(f"{side}_id", f"{side}_title") for side, table in records.items())
    matches = store["matches"].distinct()
    listed = matches.inner_join(records["left"], "left_id").inner_join(records["right"], "right_id")
    # Records of other ids may read the same: a pair of texts counts once.
    texts = [name for name in listed.columns if not name.endswith("_id")]
    first_id = ibis.row_number().over(group_by=texts, order_by=["left_id", "right_id"])
    yes = store.keep(listed.mutate(turn=first_id).filter(lambda t: t.turn == 0).drop("turn"))
    crossed = store.keep(_nearest(left, right, seed) if near else _at_random(left, right, seed))
    same_titles = yes.select("left_title", "right_title").distinct()
    apart = crossed.anti_join(matches, ["left_id", "right_id"])
    apart = apart.anti_join(same_titles, ["left_title", "right_title"])
    key = keyed(seed, "PM no", apart.left_id, apart.right_id)
    matching = store.count(yes)
    # Of near pairs the nearest of each product come first.
    no = apart.order_by(["place", key] if near else key).limit(matching).select("left_id", "right_id")
    no = no.inner_join(records["left"], "left_id").inner_join(records["right"], "right_id")
    ids = ["left_id", "right_id"]
    turn = ibis.row_number().over(group_by=ids, order_by=ids)
    known = store["matches"].mutate(turn=turn).left_join(yes.select(*ids, named="left_title"), ids)
    unused = known.filter((known.turn > 0) | known.named.isnull()).select(*ids)
    rows = store.count(store["matches"])
    found.drop("match repeats or names a product that is not there", rows - matching, unused)
    alike = store.count(crossed) - store.count(apart)
    reason = f"{NEAR if near else 'random'} pair is, or reads like, a match"
    found.drop(reason, alike, crossed.anti_join(apart, ids))
    return yes, no.select(yes.columns)


def _at_random(left: ir.Table, right: ir.Table, seed: int) -> ir.Table:
    """Return pairs: the k-th Amazon product by key with the k-th Google product by key, each at most once."""
    first = left.mutate(place=ibis.row_number().over(order_by=keyed(seed, "PM no left", left.left_id)))
    second = right.mutate(place=ibis.row_number().over(order_by=keyed(seed, "PM no right", right.right_id)))
    return first.inner_join(second, "place").drop("place")


def _nearest(left: ir.Table, right: ir.Table, seed: int) -> ir.Table:
    """Return pairs: each Amazon product with the Google products whose titles share most words with its own, of
    words that at most `COMMON` products have; ties break by key."""
    here, there = _words(left, "left"), _words(right, "right")
    rare = there.group_by("word").agg(products=there.count()).filter(lambda t: t.products <= COMMON)
    meeting = here.inner_join(there.semi_join(rare, "word"), "word")
    shared = meeting.group_by(["left_id", "right_id"]).agg(shared=meeting.count())
    key = keyed(seed, "PM near", shared.left_id, shared.right_id)
    place = ibis.row_number().over(group_by="left_id", order_by=[ibis.desc("shared"), "key"])
    best = shared.mutate(key=key).mutate(place=place).filter(lambda t: t.place < NEAREST)
    pairs = best.select("left_id", "right_id", "place")
    return left.inner_join(pairs, "left_id").inner_join(right, "right_id")


def _words(records: ir.Table, side: str) -> ir.Table:
    """Return each record's distinct title words."""
    words = records[f"{side}_title"].lower().re_replace("[^a-z0-9]+", " ").strip().split(" ")
    return records.select(records[f"{side}_id"], word=words.unnest()).filter(lambda t: t.word != "").distinct()


def _record(products: ir.Table, side: str) -> ir.Table:
    titled = products.filter(products.title.notnull() & (stripped(products.title) != ""))
    columns = {f"{side}_{name}": titled[name] for name in (*RECORD, "shown")}
    return titled.select(**{f"{side}_id": titled.product_id}, **columns)


def _sample(row: Row, split: Split) -> Example:
    sides = {"left": 1, "right": 2}
    if row["left_shown"] is None:
        values = {f"{name}_{number}": row[f"{side}_{name}"] for side, number in sides.items() for name in RECORD}
        text, _ = write(values)
    else:
        text = records_text(*({one["name"]: one["text"] for one in row[f"{side}_shown"]} for side in sides))
    products = (f"amazon|{row['left_id']}", f"google|{row['right_id']}")
    return new_example("PM", "IND", split, text, None, row["answer"], products=products)


SAMPLER = Sampler(draw, needs=("products", "matches"), alternatives={"matches": "pairs"}, negatives=(NEAR,))
