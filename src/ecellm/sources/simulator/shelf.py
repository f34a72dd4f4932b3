"""A shelf: one shard of one department, its products, how they relate and who buys what after what."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ecellm.sources.simulator import products
from ecellm.sources.simulator.draws import Draw, identifiers
from ecellm.sources.simulator.products import Product
from ecellm.sources.simulator.words import Department

Numbers = NDArray[np.int64]

#: Rows of one whole shard.
PRODUCTS = 1_000
LOYAL = 640
CASUAL = 1_250
#: Room for numbers of one shelf, so that no identifier stands twice.
ROOM = 10_000
#: Share of a type's products that sells; the rest is the long tail.
SELLING = 0.24
LONGEST = 24
NOTHING = -2
DAY = 86_400
FIRST_DAY = 14_610
"""2010-01-01, in days since 1970."""


@dataclass
class Shelf:
    """Products of one department that relate to, and are bought with, each other only."""

    department: Department
    ids: list[str]
    products: list[Product]
    groups: list[int]
    """Products of one group are variants of one model."""
    by_type: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_brand: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    by_group: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for place, product in enumerate(self.products):
            self.by_type[product.kind].append(place)
            self.by_brand[product.kind, product.brand].append(place)
            self.by_group[self.groups[place]].append(place)


def stock(department: Department, number: int, size: float, draw: Draw) -> Shelf:
    """Fill a shelf: models of all types, each in one to three variants. `number` tells shelves apart."""
    count = max(1, round(PRODUCTS * size))
    found: list[Product] = []
    groups: list[int] = []
    model = 0
    while len(found) < count:
        product = products.make(department, draw, model % len(department.types))
        copies = 1 + (draw.number() < 0.65) + (draw.number() < 0.4)
        for turn in range(min(copies, count - len(found))):
            found.append(products.variant(product, draw) if turn else product)
            groups.append(model)
        model += 1
    return Shelf(department, identifiers("B0", number * ROOM, count, 8), found, groups)


@dataclass(frozen=True)
class Relations:
    """Places on the shelf that one product's page points to."""

    also_buy: list[int]
    also_view: list[int]
    similar: list[int]


def relations(shelf: Shelf, place: int, draw: Draw) -> Relations:
    """Draw a page's relations: bought with complements, viewed with rivals, similar to its own line.

    About one link in fifteen is noise, as in a real shop.
    """
    product = shelf.products[place]
    bought = [_complement(shelf, product, draw) for _ in range(2 + draw.below(3))]
    viewed = [_rival(shelf, place, draw) for _ in range(2 + draw.below(2))]
    variants = shelf.by_group[shelf.groups[place]]
    line = shelf.by_brand[product.kind, product.brand]
    alike = [*variants, *(draw.pick(line) for _ in range(1 + draw.below(2)))]
    if draw.chance(0.05):
        alike.append(draw.pick(shelf.by_type[product.kind]))
    return Relations(_others(bought, place), _others(viewed, place), _others(alike, place))


def _others(places: list[int | None] | list[int], own: int) -> list[int]:
    return list(dict.fromkeys(place for place in places if place is not None and place != own))


def _complement(shelf: Shelf, product: Product, draw: Draw) -> int | None:
    if draw.chance(0.07):
        return draw.below(len(shelf.products))
    kind = draw.early(product.type.goes_with)
    own_brand = shelf.by_brand.get((kind, product.brand))
    if own_brand and draw.chance(0.55):
        return draw.pick(own_brand)
    others = shelf.by_type.get(kind)
    return draw.pick(others) if others else None


def _rival(shelf: Shelf, place: int, draw: Draw) -> int | None:
    product = shelf.products[place]
    if draw.chance(0.07):
        return draw.below(len(shelf.products))
    pool = [draw.pick(shelf.by_type[product.kind]) for _ in range(4)]
    rivals = [other for other in pool if shelf.products[other].brand != product.brand]
    return min(rivals, key=lambda other: abs(shelf.products[other].price - product.price), default=None)


@dataclass(frozen=True)
class Purchases:
    """Who bought what when, in parallel arrays; shoppers are numbered from 0 on each shelf."""

    user: Numbers
    item: Numbers
    time: Numbers
    """Seconds since 1970, whole days."""
    leniency: NDArray[np.float64]
    """How kindly each shopper rates, by shopper."""


def purchases(shelf: Shelf, size: float, rng: np.random.Generator) -> Purchases:
    """Let shoppers buy, all of them one step at a time.

    A shopper likes a brand and a price level. After each purchase comes, most often, a complement of it, else
    the same type again, the same family, or anything: so that a history says what comes next.
    """
    loyal, casual = round(LOYAL * size), round(CASUAL * size)
    users = max(1, loyal + casual)
    lengths = np.ones(users, dtype=np.int64)
    lengths[:loyal] = np.minimum(6 + rng.geometric(0.45, loyal) - 1, LONGEST)
    kind = np.array([product.kind for product in shelf.products])
    brand = np.array([product.brand for product in shelf.products])
    level = np.array([product.maker.level for product in shelf.products], dtype=np.float64)
    order = np.argsort(kind, kind="stable")
    types = len(shelf.department.types)
    counts = np.bincount(kind, minlength=types)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    stocked = np.flatnonzero(counts)
    following = _following(shelf.department, counts > 0)
    liked = order[(rng.random(users) * len(order)).astype(int)]
    series = np.unique([product.series for product in shelf.products], return_inverse=True)[1]
    liked_level = 1 + 2 * rng.random(users)
    looks = _looks(shelf)
    liked_looks = looks.max(axis=0) * rng.random((users, looks.shape[1])) ** 1.5
    liked_looks = np.where(looks.max(axis=0) < 0, NOTHING, liked_looks.round())
    bought = np.full((users, int(lengths.max())), -1, dtype=np.int64)
    now = stocked[(rng.random(users) * len(stocked)).astype(int)]
    for step in range(bought.shape[1]):
        here = np.flatnonzero(lengths > step)
        if step:
            rows = following[now[here]]
            now[here] = np.minimum((rows < rng.random(len(here))[:, None]).sum(axis=1), types - 1)
        kinds = now[here]
        pool = np.maximum(1, np.ceil(counts[kinds] * SELLING)).astype(int)[:, None]
        seen = (pool * rng.random((len(here), 7)) ** 1.2).astype(int)
        tail = rng.random(seen.shape) < 0.02
        seen = np.where(tail, (counts[kinds][:, None] * rng.random(seen.shape)).astype(int), seen)
        items = order[starts[kinds][:, None] + seen]
        taste = 3.0 * (brand[items] == brand[liked[here]][:, None]) - np.abs(level[items] - liked_level[here][:, None])
        taste += 2.0 * (series[items] == series[liked[here]][:, None])
        taste += 1.5 * (looks[items] == liked_looks[here][:, None, :]).sum(axis=2)
        had = (items[:, :, None] == bought[here][:, None, :]).any(axis=2)
        best = np.argmax(taste - 10.0 * had + 0.5 * rng.random(items.shape), axis=1)
        bought[here, step] = items[np.arange(len(here)), best]
    user, step_of = np.nonzero(bought >= 0)
    gaps = rng.integers(1, 90, bought.shape).cumsum(axis=1)
    day = FIRST_DAY + rng.integers(0, 1_500, users)[:, None] + gaps
    return Purchases(user, bought[user, step_of], day[user, step_of] * DAY, rng.normal(0, 0.5, users))


def _looks(shelf: Shelf) -> Numbers:
    """Return the values of all products, [products, attributes of the department]; -1 where there is none."""
    names = {attribute.name: None for kind in shelf.department.types for attribute in kind.attributes}
    columns = {name: column for column, name in enumerate(names)}
    table = np.full((len(shelf.products), len(columns)), -1, dtype=np.int64)
    for row, product in enumerate(shelf.products):
        for attribute, value in zip(product.type.attributes, product.values, strict=True):
            table[row, columns[attribute.name]] = value
    return table


def _following(department: Department, stocked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return, per type, the cumulative probabilities of the type of the next purchase."""
    types = department.types
    table = np.full((len(types), len(types)), 0.08 / len(types))
    for place, kind in enumerate(types):
        table[place, place] += 0.22
        family = [other for other, found in enumerate(types) if found.family == kind.family]
        table[place, family] += 0.18 / len(family)
        shares = np.array([0.6, 0.3, 0.1][: len(kind.goes_with)])
        table[place, list(kind.goes_with)] += 0.52 * shares / shares.sum()
    table *= stocked
    return np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)
