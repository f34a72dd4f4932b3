"""SR, sequential recommendation: which of twenty products does the shopper buy next?

Source: Amazon Review 2018 ratings, taken as purchases, with metadata (2014's fills empty titles and brands).

    input    ['1st: Fire Emblem. Video Games.', '2nd: GBA Care Case. Video Games.', ...]
    options  ['A: Wii Remote. Video Games.', 'B: ...', ..., 'T: ...']
    output   K
    metric   HR@1
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add, and_
from typing import TYPE_CHECKING, Any

from ecellm.keys import keyed_hash, keyed_shuffle
from ecellm.records import DOMAINS, Domain, Sample, Split, sample_id
from ecellm.tasks.answers import LETTERS, Letter
from ecellm.tasks.drawing import branded, eighty_ten_ten, is_code, outside
from ecellm.tasks.item_text import PART_END, shown_item
from ecellm.tasks.pieces import labelled, whole
from ecellm.tasks.task import BRAND, CATEGORY, TIME, Column, Draw, Form, Given, Piece, Pieces, Plan, Task

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

CORE = 5
MOST_PURCHASES = 50
CANDIDATES = 20
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
#: History items that stay until the options have been shortened.
KEPT_HISTORY = 3
Item = dict[str, Any]
#: Category and user.
Shopper = tuple[str, str]


def draw(store: Store, plan: Plan) -> Draw:
    """Draw shoppers, an equal share per category; each gives its last item to test, the one before to validation, the
    one before to train.

    As in the paper the splits take their shoppers from one order, so that the shoppers that are tested are also
    trained on. With `users_apart` they are divided first, 80/10/10, and each gives an item to its own split alone.
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
    history = _core(store, _purchases(store, plan, domain), drawn)
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
            rows.append(Row(bought, split, domain, (plan.seed, category, user, split)))
        _draw_negatives(store, texts, rows)
        drawn.samples += [_sample(row) for row in rows]


def _shoppers(
    store: Store, history: ir.Table, plan: Plan, domain: Domain, quotas: Mapping[Split, int]
) -> dict[Split, list[Shopper]]:
    """Collect each split's shoppers, the categories in turn while they last."""
    import ibis

    from ecellm.store import keyed

    shoppers = history.select("category", "user_id").distinct()

    def first(among: ir.Table, count: int) -> list[Shopper]:
        key = keyed(plan.seed, "SR", among.category, among.user_id)
        turn = ibis.row_number().over(group_by="category", order_by=key)
        order = among.mutate(turn=turn).order_by(["turn", "category"]).limit(count)
        return [(row["category"], row["user_id"]) for row in store.rows(order)]

    if plan.users_apart and domain == "IND":
        side = eighty_ten_ten(keyed(plan.seed, "SR users", shoppers.user_id))
        return {split: first(shoppers.filter(side == split), want) for split, want in quotas.items()}
    listed = first(shoppers, max(quotas.values()))
    return {split: listed[:want] for split, want in quotas.items()}


def _purchases(store: Store, plan: Plan, domain: Domain) -> ir.Table:
    """Return the purchases of a domain."""
    there = store["purchases"].filter(lambda t: t.category.isin(plan.categories(domain)))
    if plan.by == CATEGORY:
        return there
    placed = branded(store, there) if plan.by == BRAND else there
    held = outside(placed, plan)
    return placed.filter(held if domain == "OOD" else ~held).select(*there.columns)


def _core(store: Store, purchases: ir.Table, drawn: Draw) -> ir.Table:
    """Return the purchases left when products without metadata or with page code for a title, then users and items
    with fewer than 5 purchases, are gone (repeated until nothing changes)."""
    import ibis

    item = ["category", "product_id"]
    known = _described(store).mutate(code=lambda t: is_code(t.title).fill_null(False).cast("int8"))
    names = known.select(*item, "code").distinct()
    rows = purchases.distinct()
    rows = store.keep(rows.left_join(names, item).select(*purchases.columns, "code"))
    described = rows.filter(rows.code.notnull())
    here = described.filter(described.code == 0).drop("code")
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
        ("purchase of a product whose title is page code", described.filter(described.code == 1).drop("code")),
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


def _described(store: Store) -> ir.Table:
    """Return category, product_id, title, brand and categories of 2018's products, of which something can be shown.
    2014's title and brand fill what is empty in 2018's."""
    import ibis

    columns = ["category", "product_id", "title", "brand"]
    new = store.catalogue("amazon_2018").select(*columns, "categories")
    old = store.catalogue("amazon_2014").select(*columns)
    both = new.left_join(old, ["category", "product_id"], rname="old_{name}")
    title, brand = (ibis.coalesce(both[name].nullif(""), both[f"old_{name}"]) for name in ("title", "brand"))
    filled = both.select("category", "product_id", title=title, brand=brand, categories=both.categories)
    empty = [(text.fill_null("") == "") for text in (filled.title, filled.brand, *_path(filled))]
    return filled.filter(~reduce(and_, empty))


def _items_bought(store: Store, history: ir.Table, negatives: str) -> ir.Table:
    """Return category, product_id, text and group of every product that is left."""
    import ibis

    left = _described(store).semi_join(history, ["category", "product_id"])
    parts = [part.fill_null("").replace(PART_END, " ") for part in (left.title, *_path(left), left.brand)]
    raw = reduce(add, (parts[0], *(PART_END + part for part in parts[1:])))
    shelf = reduce(add, (left.category, *("|" + part.fill_null("") for part in _path(left))))
    group = shelf if negatives == SAME_CATEGORY else ibis.literal(ALL)
    items = store.keep(left.select("category", "product_id", raw=raw, group=group))
    # No engine decodes HTML: Python makes the texts.
    texts = store.engine.mapped(items.select("raw").distinct(), shown_item)
    joined = items.inner_join(texts, "raw").select("category", "product_id", "group", text=texts.mapped)
    return store.keep(joined.filter(joined.text != ""))


def _path(products: ir.Table) -> tuple[ir.StringValue, ir.StringValue]:
    """Return the first two categories, null where there are fewer."""
    return _at(products.categories, 0), _at(products.categories, 1)


def _at(texts: ir.ArrayValue, place: int) -> ir.StringValue:
    import ibis

    return ibis.ifelse(texts.length() > place, texts[place], ibis.null("string"))


def _pool(history: ir.Table, items: ir.Table, plan: Plan) -> ir.Table:
    """Return what wrong candidates are drawn from: group, text and its place in the group (from 0, by key). A popular
    text stands there once for each purchase."""
    import ibis

    from ecellm.store import keyed

    each = items.mutate(group=ibis.literal(ALL)).select("group", "text").distinct()
    if plan.negatives == POPULAR:
        each = history.inner_join(items, ["category", "product_id"]).select("group", "text")
    if plan.negatives == SAME_CATEGORY:
        each = each.union(items.select("group", "text").distinct())
    place = ibis.row_number().over(group_by="group", order_by=keyed(plan.seed, "SR pool", each.text))
    return each.mutate(place=place)


def _histories(store: Store, history: ir.Table, items: ir.Table, chosen: set[Shopper]) -> dict[Shopper, list[Item]]:
    """Collect each chosen shopper's first 50 items by time; ties in time break by item."""
    import ibis

    listed = [{"category": category, "user_id": user} for category, user in chosen]
    shoppers = store.given(listed, category="string", user_id="string")
    turn = ibis.row_number().over(group_by=["category", "user_id"], order_by=["time", "product_id"])
    bought = history.semi_join(shoppers, ["category", "user_id"]).mutate(turn=turn)
    shown = bought.filter(bought.turn < MOST_PURCHASES).inner_join(items, ["category", "product_id"])
    found: dict[Shopper, list[Item]] = {shopper: [] for shopper in chosen}
    wanted = shown.select("category", "user_id", "turn", "product_id", "text", "group")
    for row in store.rows(wanted.order_by(["category", "user_id", "turn"])):
        found[row["category"], row["user_id"]].append(row)
    return found


@dataclass
class Row:
    """A sample in the making."""

    bought: list[Item]
    split: Split
    domain: Domain
    key: tuple[Any, ...]
    negatives: list[str] = field(default_factory=list)

    @property
    def place(self) -> int:
        """The target's place among what was bought."""
        return len(self.bought) - TARGETS[self.split]

    @property
    def target(self) -> Item:
        """What the shopper bought next."""
        return self.bought[self.place]

    def take(self, texts: list[str]) -> None:
        """Take wrong candidates, in this order, until there are enough; the last three purchases are none."""
        taken = {*self.negatives, *(item["text"] for item in self.bought[-len(TARGETS) :])}
        for text in texts:
            if len(self.negatives) < CANDIDATES - 1 and text not in taken:
                taken.add(text)
                self.negatives.append(text)


def _draw_negatives(store: Store, texts: ir.Table, rows: list[Row]) -> None:
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


def _sample(row: Row) -> Sample:
    shown = [item["text"] for item in row.bought]
    target = shown[row.place]
    candidates = keyed_shuffle([target, *row.negatives], *row.key, "order")
    text, options = write({"history": shown[: row.place], "options": candidates})
    return Sample(
        id=sample_id("SR", row.domain, text, options),
        task="SR",
        domain=row.domain,
        split=row.split,
        input=text,
        options=options,
        output=LETTERS[candidates.index(target)],
        category=row.target["category"],
        products=tuple(f"amazon_2018|{item['product_id']}" for item in row.bought[: row.place + 1]),
    )


def write(given: Given) -> tuple[str, str]:
    """Return the purchases, the newest 50 of them, and the options.

    Raises ValueError where there are fewer than two options or more than twenty.
    """
    options = given["options"]
    if not 2 <= len(options) <= CANDIDATES:
        raise ValueError(f"options has {len(options)} of them: 2 to {CANDIDATES} can be chosen from.")
    history = [f"{ordinal(number)}: {text}" for number, text in enumerate(given["history"][-MOST_PURCHASES:], 1)]
    return repr(history), repr([f"{letter}: {text}" for letter, text in zip(LETTERS, options, strict=False)])


def read(answer: str, given: Given) -> str:
    """Return the option's text as it was given."""
    return str(given["options"][LETTERS.index(answer)])


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, ..., 11th, 12th, 13th, ..., 21st, 22nd."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _texts_bought(sample: Sample) -> tuple[str, ...]:
    return tuple(text.partition(": ")[2] for text in _items(sample.input) or ())


def pieces(sample: Sample) -> Pieces:
    """Drop the oldest purchases first, all but three; then shorten the options evenly; then drop the rest."""
    assert sample.options is not None
    return Pieces(_history_pieces(sample.input), _option_pieces(sample.options))


def _history_pieces(text: str) -> tuple[Piece, ...]:
    items = _items(text)
    if items is None:
        return whole(text)
    pieces = [Piece("[")]
    for place, item in enumerate(items):
        left = len(items) - place
        rank = place + 1 if left > KEPT_HISTORY else MOST_PURCHASES + 2 + place
        comma = ", " if place < len(items) - 1 else ""
        pieces.append(Piece(repr(item) + comma, rank=rank, how="drop", mark="purchase", of="history"))
    return (*pieces, Piece("]"))


def _option_pieces(text: str) -> tuple[Piece, ...]:
    items = _items(text)
    if items is None:
        return whole(text)
    pieces = [Piece("[")]
    for place, item in enumerate(items):
        shown = repr(item)
        pieces += [Piece(", ")] if place else []
        pieces += labelled(shown[1:-1], shown[0], rank=MOST_PURCHASES + 1)
    return (*pieces, Piece("]"))


def _items(text: str) -> list[str] | None:
    """Return the texts of a Python list's repr, or None where the text is not exactly such a repr."""
    try:
        items = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    good = isinstance(items, list) and all(isinstance(item, str) for item in items)
    return items if good and repr(items) == text else None


TASK = Task(
    name="SR",
    title="Sequential_Recommendation",
    aliases=(),
    instructions=(
        "The list shows what a shopper bought, in order. Which option comes next? Answer with its letter.",
        "Given the purchases so far, choose the product that the shopper is most likely to buy now. Reply with the "
        "option's letter.",
        "Predict the next purchase from the history and give the letter of that option only.",
        "Study the sequence of products and select, by letter, the option that continues it.",
        "Which of the options suits this shopper's past purchases best? Output one letter.",
        "Recommend one product to follow this purchase history: name its option letter.",
    ),
    answer=Letter("ABCDEFGHIJKLMNOPQRST", first_character=False),
    metric="hr@1",
    out_of_domain=True,
    needs=("products", "purchases"),
    draw=draw,
    pieces=pieces,
    form=Form(
        (
            Column("history", "texts of the products bought, oldest first", many=True),
            Column("options", "texts of two to twenty products to choose from", many=True),
        ),
        write,
        read,
    ),
    negatives=(POPULAR, SAME_CATEGORY),
    domains=(CATEGORY, BRAND, TIME),
    texts=_texts_bought,
)
