"""SR, sequential recommendation: which of twenty products does the shopper buy next?

Source: Amazon Review 2018 ratings, taken as purchases, with metadata (2014's fills gaps).

    input    ['1st: Fire Emblem. Video Games.', '2nd: GBA Care Case. Video Games.', ...]
    options  ['A: Wii Remote. Video Games.', 'B: ...', ..., 'T: ...']
    output   K
    metric   HR@1
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ecellm.keys import keyed_hash, keyed_shuffle
from ecellm.records import Domain, Sample, Split, sample_id
from ecellm.tasks.answers import LETTERS, Letter
from ecellm.tasks.drawing import first_by_key
from ecellm.tasks.pieces import labelled, whole
from ecellm.tasks.task import Draw, Piece, Pieces, Plan, Task

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

CORE = 5
MOST_PURCHASES = 50
CANDIDATES = 20
MOST_CHARACTERS = 2000
MOST_WORDS = 25
#: The target's place from the end of a history, by split.
TARGETS: dict[Split, int] = {"test": 1, "validation": 2, "train": 3}
TAG = re.compile(r"<[^<>]*>")
#: Harder wrong candidates than the paper's.
POPULAR, SAME_CATEGORY = "popular", "same_category"
#: History items that stay until the options have been shortened.
KEPT_HISTORY = 3


def draw(store: Store, plan: Plan) -> Draw:
    """Draw shoppers; each gives its last item to test, the one before to validation, the one before to train.

    The wrong candidates are drawn uniformly; with `popular` negatives by how often they were bought, with
    `same_category` ones among the products of the right one's categories.
    """
    drawn = Draw()
    for domain, categories in (("IND", plan.in_domain), ("OOD", plan.out_of_domain)):
        quotas = {split: plan.enough(split, domain) for split, of in plan.quotas if of == domain}
        if categories and any(quotas.values()):
            _draw_domain(store, plan.seed, domain, categories, quotas, drawn, plan.negatives)  # type: ignore[arg-type]
    return drawn


def _draw_domain(
    store: Store,
    seed: int,
    domain: Domain,
    categories: tuple[str, ...],
    quotas: dict[Split, int],
    drawn: Draw,
    negatives: str,
) -> None:
    from ecellm.store import keyed

    history = _core(store, categories, drawn.dropped)
    texts = _item_texts(store, history)
    pool = sorted(set(texts.values()), key=lambda text: keyed_hash(seed, "SR pool", text))
    draws = Negatives(pool, _weights(history, texts, negatives), _groups(store, history, texts, negatives))
    if len(pool) < CANDIDATES + len(TARGETS):
        drawn.dropped[f"{domain}: fewer than {CANDIDATES + len(TARGETS)} item texts to choose from"] += 1
        return
    shoppers = history.select("category", "user_id").distinct()
    for split, want in quotas.items():
        key = keyed(seed, "SR", split, shoppers.category, shoppers.user_id)
        chosen = first_by_key(shoppers.mutate(key=key), "key", want)
        for (category, user), items in _histories(history, chosen).items():
            if len(items) < TARGETS["train"] + 2:
                drawn.dropped["shopper has too few purchases after duplicates"] += 1
                continue
            shown = [texts[item] for item in items]
            sample = _sample(shown, items, draws, split, domain, (seed, category, user))
            drawn.samples.append(sample)


def _core(store: Store, categories: tuple[str, ...], dropped: Counter[str]) -> ir.Table:
    """Return the purchases left when products without metadata, then users and items with fewer than 5
    purchases, are gone (repeated until nothing changes)."""
    purchases = store["purchases"]
    products = store["products"]
    rows = purchases.filter(purchases.category.isin(categories)).distinct()
    known = products.filter((products.catalogue == "amazon_2018") & products.title.notnull())
    here = rows.semi_join(known, ["category", "product_id"])
    dropped["purchase repeats"] += _count(purchases.filter(purchases.category.isin(categories))) - _count(rows)
    dropped["purchase of a product without metadata"] += _count(rows) - _count(here)
    kept = store.keep(here)
    size = _count(kept)
    start = size
    while True:
        users = kept.group_by(["category", "user_id"]).agg(n=kept.count()).filter(lambda t: t.n >= CORE)
        items = kept.group_by(["category", "product_id"]).agg(n=kept.count()).filter(lambda t: t.n >= CORE)
        smaller = kept.semi_join(users, ["category", "user_id"]).semi_join(items, ["category", "product_id"])
        smaller = store.keep(smaller)
        now = _count(smaller)
        kept = smaller
        if now == size:
            break
        size = now
    dropped[f"purchase of a user or item with fewer than {CORE}"] += start - size
    return kept


def _count(table: ir.Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _item_texts(store: Store, history: ir.Table) -> dict[tuple[str, str], str]:
    """Return the text of every item that is left, by (category, product_id)."""
    products = store["products"]
    columns = ["category", "product_id", "title", "brand", "categories"]
    new = products.filter(products.catalogue == "amazon_2018").semi_join(history, ["category", "product_id"])
    old = products.filter(products.catalogue == "amazon_2014").semi_join(history, ["category", "product_id"])
    fallback = {(row["category"], row["product_id"]): row for row in old.select(columns).to_pyarrow().to_pylist()}
    found = {}
    for row in new.select(columns).to_pyarrow().to_pylist():
        key = (row["category"], row["product_id"])
        found[key] = item_text(row, fallback.get(key, {}))
    return found


def item_text(row: dict[str, Any], fallback: dict[str, Any]) -> str:
    """Return title, first two categories and brand, each cleaned and ended by one full stop, cut to 25 words.

    `fallback` is the 2014 row, used where 2018's value is empty.
    """
    title = row["title"] or fallback.get("title")
    categories = row["categories"] or fallback.get("categories") or []
    parts = [title, *categories[:2], row["brand"] or fallback.get("brand")]
    words = " ".join(part for part in (_part(text) for text in parts) if part).split(" ")
    return " ".join(words) if len(words) <= MOST_WORDS else " ".join(words[:MOST_WORDS]) + "..."


def _part(text: str | None) -> str:
    """Return a text without HTML, quotes and line breaks, ended by one full stop; empty if it is overlong."""
    clean = " ".join(TAG.sub(" ", text or "").replace('"', "").replace("&amp;", "&").split())
    if not clean or len(clean) >= MOST_CHARACTERS:
        return ""
    return clean.rstrip(".") + "."


def _histories(history: ir.Table, chosen: list[dict[str, Any]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Collect each chosen shopper's first 50 items by time; ties in time break by item."""
    import ibis

    users = {
        "category": [row["category"] for row in chosen],
        "user_id": [row["user_id"] for row in chosen],
    }
    table = ibis.memtable(users, schema={"category": "string", "user_id": "string"})
    rows = history.semi_join(table, ["category", "user_id"])
    found: dict[tuple[str, str], list[tuple[str, str]]] = {(row["category"], row["user_id"]): [] for row in chosen}
    for row in rows.order_by(["category", "user_id", "time", "product_id"]).to_pyarrow().to_pylist():
        items = found[row["category"], row["user_id"]]
        if len(items) < MOST_PURCHASES:
            items.append((row["category"], row["product_id"]))
    return found


def _sample(
    shown: list[str],
    items: list[tuple[str, str]],
    draws: Negatives,
    split: Split,
    domain: Domain,
    key: tuple[Any, ...],
) -> Sample:
    place = len(shown) - TARGETS[split]
    target = shown[place]
    apart = {*shown[-len(TARGETS) :]}
    candidates = keyed_shuffle([target, *draws.draw(items[place], apart, (*key, split))], *key, split, "order")
    history = [f"{ordinal(number)}: {text}" for number, text in enumerate(shown[:place], 1)]
    options = [f"{letter}: {text}" for letter, text in zip(LETTERS, candidates, strict=False)]
    return Sample(
        id=sample_id("SR", domain, repr(history), repr(options)),
        task="SR",
        domain=domain,
        split=split,
        input=repr(history),
        options=repr(options),
        output=LETTERS[candidates.index(target)],
        category=items[0][0],
        products=tuple(f"amazon_2018|{product}" for _, product in items[: place + 1]),
    )


@dataclass(frozen=True)
class Negatives:
    """Where wrong candidates come from."""

    pool: list[str]
    """The item texts of the domain, in an order by key."""
    weights: Mapping[str, int]
    """How often a text is to be drawn against the others; empty: all alike."""
    groups: Mapping[tuple[str, str], list[str]]
    """Of an item: the texts of its own categories; empty: the pool for all."""

    def draw(self, target: tuple[str, str], apart: set[str], key: tuple[Any, ...]) -> list[str]:
        """Return 19 distinct texts, drawn by key, none of them in `apart`: of the target's categories, where these
        have enough, else of the pool."""
        group = self.groups.get(target, self.pool)
        texts = group if len(group) >= CANDIDATES + len(TARGETS) else self.pool
        bounds = list(accumulate(self.weights.get(text, 1) for text in texts)) if self.weights else []
        found: list[str] = []
        taken = set(apart)
        turn = 0
        while len(found) < CANDIDATES - 1:
            number = int(keyed_hash(*key, "negative", turn), 16)
            text = texts[bisect_right(bounds, number % bounds[-1]) if bounds else number % len(texts)]
            turn += 1
            if text not in taken:
                taken.add(text)
                found.append(text)
        return found


def _weights(history: ir.Table, texts: Mapping[tuple[str, str], str], negatives: str) -> dict[str, int]:
    """Return how often each text was bought, for popular negatives."""
    weights: Counter[str] = Counter()
    if negatives == POPULAR:
        bought = history.group_by(["category", "product_id"]).agg(times=history.count())
        for row in bought.to_pyarrow().to_pylist():
            weights[texts[row["category"], row["product_id"]]] += row["times"]
    return weights


def _groups(
    store: Store, history: ir.Table, texts: Mapping[tuple[str, str], str], negatives: str
) -> dict[tuple[str, str], list[str]]:
    """Return each item's own group of texts, those of its first two categories, for same-category negatives."""
    if negatives != SAME_CATEGORY:
        return {}
    products = store["products"]
    known = products.filter(products.catalogue == "amazon_2018").semi_join(history, ["category", "product_id"])
    of: dict[tuple[str, str], tuple[str, ...]] = {}
    members: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in known.select("category", "product_id", "categories").to_pyarrow().to_pylist():
        item = (row["category"], row["product_id"])
        of[item] = (row["category"], *row["categories"][:2])
        members[of[item]].add(texts[item])
    ordered = {group: sorted(members[group], key=lambda text: keyed_hash("SR group", text)) for group in members}
    return {item: ordered[group] for item, group in of.items()}


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, ..., 11th, 12th, 13th, ..., 21st, 22nd."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


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
        pieces.append(Piece(repr(item) + comma, rank=rank, how="drop", mark="purchase"))
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
    negatives=(POPULAR, SAME_CATEGORY),
)
