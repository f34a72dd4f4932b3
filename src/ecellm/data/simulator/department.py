"""A shelf: one shard of one department, its products, how they relate and who buys what after what."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ecellm.data.simulator import products
from ecellm.data.simulator.products import Product
from ecellm.data.simulator.random_draws import RandomDraws, identifiers
from ecellm.data.simulator.vocabulary import Department

Numbers = NDArray[np.int64]

#: Rows of one whole shard.
PRODUCTS = 1_000
LOYAL = 640
CASUAL = 1_250
#: Room for numbers of one shelf, so that no identifier stands twice.
ROOM = 10_000
#: Share of a type's products that sells; the rest is the long tail.
SELLING = 0.24
#: Items of a type that a shopper looks at before buying one.
CHOICE = 12
LONGEST = 24
#: Share of purchases from the long tail.
TAIL = 0.02
#: A liked value that no product has.
NOTHING = -2
DAY = 86_400
FIRST_DAY = 14_610
"""2010-01-01, in days since 1970."""


@dataclass
class Stock:
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


def stock(department: Department, number: int, size: float, draw: RandomDraws) -> Stock:
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
    return Stock(department, identifiers("B0", number * ROOM, count, 8), found, groups)


@dataclass(frozen=True)
class Relations:
    """Places on the shelf that one product's page points to."""

    also_buy: list[int]
    also_view: list[int]
    similar: list[int]


def relations(shelf: Stock, place: int, draw: RandomDraws) -> Relations:
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


def _complement(shelf: Stock, product: Product, draw: RandomDraws) -> int | None:
    if draw.chance(0.07):
        return draw.below(len(shelf.products))
    kind = draw.early(product.type.goes_with)
    own_brand = shelf.by_brand.get((kind, product.brand))
    if own_brand and draw.chance(0.55):
        return draw.pick(own_brand)
    others = shelf.by_type.get(kind)
    return draw.pick(others) if others else None


def _rival(shelf: Stock, place: int, draw: RandomDraws) -> int | None:
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


def purchases(shelf: Stock, size: float, rng: np.random.Generator) -> Purchases:
    """Let shoppers buy, all of them one step at a time.

    A shopper likes a brand, one of its series, some values of attributes, and a price level. After each purchase
    comes, most often, a complement of it, else the same type again, the same family, or anything: so that a
    history says what comes next.
    """
    loyal, casual = round(LOYAL * size), round(CASUAL * size)
    users = max(1, loyal + casual)
    lengths = np.ones(users, dtype=np.int64)
    lengths[:loyal] = np.minimum(6 + rng.geometric(0.45, loyal) - 1, LONGEST)
    choice = Tastes(shelf, users, rng)
    following = _following(shelf.department, choice.counts > 0)
    stocked = np.flatnonzero(choice.counts)
    now = stocked[rng.integers(0, len(stocked), users)]
    bought = np.full((users, int(lengths.max())), -1, dtype=np.int64)
    for step in range(bought.shape[1]):
        here = np.flatnonzero(lengths > step)
        if step:
            passed = following[now[here]] < rng.random(len(here))[:, None]
            now[here] = np.minimum(passed.sum(axis=1), len(following) - 1)
        bought[here, step] = choice.items(here, now[here], bought[here])
    user, step_of = np.nonzero(bought >= 0)
    gaps = rng.integers(1, 90, bought.shape).cumsum(axis=1)
    day = FIRST_DAY + rng.integers(0, 1_500, users)[:, None] + gaps
    return Purchases(user, bought[user, step_of], day[user, step_of] * DAY, rng.normal(0, 0.5, users))


class Tastes:
    """What shoppers like, and which item of a type each of them buys."""

    def __init__(self, shelf: Stock, users: int, rng: np.random.Generator):
        found = shelf.products
        self._rng = rng
        kind = np.array([product.kind for product in found])
        self.counts = np.bincount(kind, minlength=len(shelf.department.types))
        """Products per type."""
        self._order = np.argsort(kind, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self._brand = np.array([product.brand for product in found])
        self._series = np.unique([product.series for product in found], return_inverse=True)[1]
        self._level = np.array([product.maker.level for product in found], dtype=np.float64)
        self._looks = _looks(shelf)
        self._liked = rng.integers(0, len(found), users)
        self._liked_level = 1 + 2 * rng.random(users)
        most = self._looks.max(axis=0)
        liked = (most * rng.random((users, len(most))) ** 1.5).round().astype(np.int64)
        self._liked_looks = np.where(most < 0, NOTHING, liked)

    def items(self, users: Numbers, kinds: Numbers, bought: Numbers) -> Numbers:
        """Return the item of its type that each user buys, [users]; `bought` is [users, steps], -1 for none.

        Each looks at some of the type's bestsellers and takes what suits it best and it does not have yet.
        """
        pool = np.maximum(1, np.ceil(self.counts[kinds] * SELLING)).astype(np.int64)[:, None]
        drawn = self._rng.random((len(users), CHOICE))
        seen = (pool * drawn**1.2).astype(np.int64)
        tail = (self.counts[kinds][:, None] * drawn).astype(np.int64)
        seen = np.where(self._rng.random(seen.shape) < TAIL, tail, seen)
        items = self._order[self._starts[kinds][:, None] + seen]
        liked = self._liked[users][:, None]
        suits = 3.0 * (self._brand[items] == self._brand[liked])
        suits += 2.0 * (self._series[items] == self._series[liked])
        suits += 2.0 * (self._looks[items] == self._liked_looks[users][:, None, :]).sum(axis=2)
        suits -= np.abs(self._level[items] - self._liked_level[users][:, None])
        suits -= 10.0 * (items[:, :, None] == bought[:, None, :]).any(axis=2)
        best = np.argmax(suits + 0.5 * self._rng.random(items.shape), axis=1)
        return items[np.arange(len(users)), best]


def _looks(shelf: Stock) -> Numbers:
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
