"""Drawing SR: shoppers' purchases in order, each with nineteen wrong candidates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import BRAND, CATEGORY, TIME, Draw, Plan, Sampler
from ecellm.data.samplers.drawing import eighty_ten_ten
from ecellm.data.samplers.item_text import PART_END, shown_item
from ecellm.data.samplers.purchases import core, described, first_categories, purchases_of
from ecellm.data.schema import Row, Store, keyed
from ecellm.io.hashing import keyed_hash, keyed_shuffle
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.sr import CANDIDATES, MOST_PURCHASES, write
from ecellm.types import DOMAINS, Domain, Example, Split, new_example

#: The target's place from the end of a history, by split.
TARGETS: dict[Split, int] = {"test": 1, "validation": 2, "train": 3}
#: So many distinct texts are needed to draw wrong candidates from.
FEWEST_TEXTS = CANDIDATES + len(TARGETS)
#: Harder wrong candidates than the paper's.
POPULAR, SAME_CATEGORY = "popular", "same_category"
#: The group of texts that wrong candidates come from, but for `same_category`: all of the domain.
ALL = ""
#: Wrong candidates drawn at a time, of which some turn out to stand there already.
DRAWN_AT_ONCE = 24
#: Category and user.
Shopper = tuple[str, str]


def draw(store: Store, plan: Plan) -> Draw:
    """Draw shoppers, an equal share per category; each gives its last item to test, the one before to validation, the
    one before to train.

    As in the paper the splits take their shoppers from one order, so that the shoppers that are tested are also
    trained on. With `split_by_user` they are divided first, 80/10/10, and each gives an item to its own split alone.
    The wrong candidates are drawn uniformly; with `popular` negatives by how often they were bought, with
    `same_category` ones among the products of the right one's categories. Out of domain by brand or time is a shop
    of its own: purchases of those brands, or from that day on, alone.
    """
    drawn = Draw()
    for domain in DOMAINS:
        quotas = {split: plan.enough(split, domain) for split, of in plan.quotas if of == domain}
        if plan.categories(domain) and any(quotas.values()):
            _draw_domain(store, plan, domain, quotas, drawn)
    return drawn


def _draw_domain(store: Store, plan: Plan, domain: Domain, quotas: dict[Split, int], drawn: Draw) -> None:
    history = core(store, purchases_of(store, plan, domain), drawn)
    items = _items_bought(store, history, plan.negatives)
    texts = store.keep(_pool(history, items, plan))
    if store.count(items.select("text").distinct()) < FEWEST_TEXTS:
        drawn.drop(f"{domain}: fewer than {FEWEST_TEXTS} item texts to choose from", 1, [{"domain": domain}])
        return
    chosen = _shoppers(store, history, plan, domain, quotas)
    histories = _histories(store, history, items, {shopper for listed in chosen.values() for shopper in listed})
    for split, listed in chosen.items():
        rows = []
        for category, user in listed:
            bought = histories[category, user]
            if len(bought) < TARGETS["train"] + 2:
                shopper = {"category": category, "user_id": user, "split": split}
                drawn.drop("shopper has too few purchases after duplicates", 1, [shopper])
                continue
            rows.append(UnfinishedExample(bought, split, domain, (plan.seed, category, user, split)))
        _draw_negatives(store, texts, rows)
        drawn.examples += [_sample(row) for row in rows]


def _shoppers(
    store: Store, history: ir.Table, plan: Plan, domain: Domain, quotas: Mapping[Split, int]
) -> dict[Split, list[Shopper]]:
    """Collect each split's shoppers, the categories in turn while they last."""
    shoppers = history.select("category", "user_id").distinct()

    def first(among: ir.Table, count: int) -> list[Shopper]:
        key = keyed(plan.seed, "SR", among.category, among.user_id)
        turn = ibis.row_number().over(group_by="category", order_by=key)
        order = among.mutate(turn=turn).order_by(["turn", "category"]).limit(count)
        return [(row["category"], row["user_id"]) for row in store.rows(order)]

    if plan.split_by_user and domain == "IND":
        side = eighty_ten_ten(keyed(plan.seed, "SR users", shoppers.user_id))
        return {split: first(shoppers.filter(side == split), want) for split, want in quotas.items()}
    listed = first(shoppers, max(quotas.values()))
    return {split: listed[:want] for split, want in quotas.items()}


def _items_bought(store: Store, history: ir.Table, negatives: str) -> ir.Table:
    """Return category, product_id, text and group of every product that is left."""
    left = described(store).semi_join(history, ["category", "product_id"])
    parts = [part.fill_null("").replace(PART_END, " ") for part in (left.title, *first_categories(left), left.brand)]
    raw = reduce(add, (parts[0], *(PART_END + part for part in parts[1:])))
    shelf = reduce(add, (left.category, *("|" + part.fill_null("") for part in first_categories(left))))
    group = shelf if negatives == SAME_CATEGORY else ibis.literal(ALL)
    items = store.keep(left.select("category", "product_id", raw=raw, group=group))
    # No engine decodes HTML: Python makes the texts.
    texts = store.engine.mapped(items.select("raw").distinct(), shown_item)
    joined = items.inner_join(texts, "raw").select("category", "product_id", "group", text=texts.mapped)
    return store.keep(joined.filter(joined.text != ""))


def _pool(history: ir.Table, items: ir.Table, plan: Plan) -> ir.Table:
    """Return what wrong candidates are drawn from: group, text and its place in the group (from 0, by key). A popular
    text stands there once for each purchase."""
    each = items.mutate(group=ibis.literal(ALL)).select("group", "text").distinct()
    if plan.negatives == POPULAR:
        each = history.inner_join(items, ["category", "product_id"]).select("group", "text")
    if plan.negatives == SAME_CATEGORY:
        each = each.union(items.select("group", "text").distinct())
    place = ibis.row_number().over(group_by="group", order_by=keyed(plan.seed, "SR pool", each.text))
    return each.mutate(place=place)


def _histories(store: Store, history: ir.Table, items: ir.Table, chosen: set[Shopper]) -> dict[Shopper, list[Row]]:
    """Collect each chosen shopper's first 50 items by time; ties in time break by item."""
    listed = [{"category": category, "user_id": user} for category, user in chosen]
    shoppers = store.given(listed, category="string", user_id="string")
    turn = ibis.row_number().over(group_by=["category", "user_id"], order_by=["time", "product_id"])
    bought = history.semi_join(shoppers, ["category", "user_id"]).mutate(turn=turn)
    shown = bought.filter(bought.turn < MOST_PURCHASES).inner_join(items, ["category", "product_id"])
    found: dict[Shopper, list[Row]] = {shopper: [] for shopper in chosen}
    wanted = shown.select("category", "user_id", "turn", "product_id", "text", "group")
    for row in store.rows(wanted.order_by(["category", "user_id", "turn"])):
        found[row["category"], row["user_id"]].append(row)
    return found


@dataclass
class UnfinishedExample:
    """An example that lacks wrong candidates."""

    bought: list[Row]
    split: Split
    domain: Domain
    key: tuple[int, str, str, Split]
    negatives: list[str] = field(default_factory=list)

    @property
    def place(self) -> int:
        """The target's place among what was bought."""
        return len(self.bought) - TARGETS[self.split]

    @property
    def target(self) -> Row:
        """What the shopper bought next."""
        return self.bought[self.place]

    def take(self, texts: list[str]) -> None:
        """Take wrong candidates, in this order, until there are enough; the last three purchases are none."""
        taken = {*self.negatives, *(item["text"] for item in self.bought[-len(TARGETS) :])}
        for text in texts:
            if len(self.negatives) < CANDIDATES - 1 and text not in taken:
                taken.add(text)
                self.negatives.append(text)


def _draw_negatives(store: Store, texts: ir.Table, rows: list[UnfinishedExample]) -> None:
    """Give each row 19 distinct wrong candidates of its target's group, or of all where that is too small.

    A row draws places of its group by key, one after the other; only the texts that stand there are collected.
    """
    sizes = _sizes(store, texts, {ALL, *(row.target["group"] for row in rows)})
    groups = [row.target["group"] if sizes[row.target["group"]] >= FEWEST_TEXTS else ALL for row in rows]
    turn, turns = 0, DRAWN_AT_ONCE
    while unfinished := [place for place, row in enumerate(rows) if len(row.negatives) < CANDIDATES - 1]:
        drawn = {
            number: [
                (
                    groups[number],
                    int(keyed_hash(*rows[number].key, "negative", turn + step), 16) % sizes[groups[number]],
                )
                for step in range(turns)
            ]
            for number in unfinished
        }
        found = _texts_at(store, texts, {place for places in drawn.values() for place in places})
        for number, places in drawn.items():
            rows[number].take([found[place] for place in places])
        turn, turns = turn + turns, 2 * turns


def _sizes(store: Store, texts: ir.Table, groups: set[str]) -> dict[str, int]:
    wanted = store.given([{"group": group} for group in groups], group="string")
    found = store.rows(texts.semi_join(wanted, "group").group_by("group").agg(size=lambda t: t.count()))
    return {row["group"]: row["size"] for row in found}


def _texts_at(store: Store, texts: ir.Table, places: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Collect the texts that stand at places of groups."""
    rows = [{"group": group, "place": place} for group, place in places]
    wanted = store.given(rows, group="string", place="int64")
    found = texts.inner_join(wanted, ["group", "place"]).select("group", "place", "text")
    return {(row["group"], row["place"]): row["text"] for row in store.rows(found)}


def _sample(row: UnfinishedExample) -> Example:
    shown = [item["text"] for item in row.bought]
    target = shown[row.place]
    candidates = keyed_shuffle([target, *row.negatives], *row.key, "order")
    text, options = write({"history": shown[: row.place], "options": candidates})
    output, category = LETTERS[candidates.index(target)], row.target["category"]
    products = tuple(f"amazon_2018|{item['product_id']}" for item in row.bought[: row.place + 1])
    return new_example("SR", row.domain, row.split, text, options, output, category=category, products=products)


SAMPLER = Sampler(
    draw,
    needs=("products", "purchases"),
    negatives=(POPULAR, SAME_CATEGORY),
    domains=(CATEGORY, BRAND, TIME),
    has_users=True,
)
