"""Random draws of the simulated shop: generators keyed by seed and place, and numbers made from them."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import TypeVar

import numpy as np

from ecellm.io.hashing import keyed_hash

T = TypeVar("T")
BUFFER = 1 << 14
#: Shards are this many times scale 1.0; the last one may be smaller.
WHOLE = 1.0
BASE = 36
DIGITS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", dtype="S1")


def generator(seed: int, *key: object) -> np.random.Generator:
    """Return the generator of one table's one shard: its numbers depend on the seed and the key alone."""
    return np.random.Generator(np.random.PCG64(int(keyed_hash(seed, "simulate", *key), 16)))


class RandomDraws:
    """Single choices from a generator, read from a buffer because one number at a time is slow."""

    def __init__(self, source: np.random.Generator):
        buffers = (source.random(BUFFER).tolist() for _ in repeat(None))
        self.number: Callable[[], float] = chain.from_iterable(buffers).__next__
        """Return a number in [0, 1)."""

    def chance(self, probability: float) -> bool:
        """Say yes with a probability."""
        return self.number() < probability

    def below(self, count: int) -> int:
        """Return a whole number in [0, count)."""
        return int(self.number() * count)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items, all equally likely."""
        return items[int(self.number() * len(items))]

    def early(self, items: Sequence[T], skew: float = 2.0) -> T:
        """Return one of the items, early ones far more often: by a skew of 2 half of the draws fall on the
        first quarter, by one of 3 on the first eighth."""
        return items[int(self.number() ** skew * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Return `count` different items (all, where there are fewer) in random order."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(min(count, len(pool)))]

    def by_weight(self, items: Sequence[T], cumulative: Sequence[float]) -> T:
        """Return one of the items, by cumulative weights that end at 1."""
        return items[bisect_right(cumulative, self.number(), hi=len(items) - 1)]


def identifiers(prefix: str, first: int, count: int, digits: int) -> list[str]:
    """Return `count` distinct identifiers of `digits` base-36 digits after the prefix, for the numbers from
    `first` on: equal numbers give equal identifiers, others differ (the map is one to one)."""
    numbers = (np.arange(first, first + count, dtype=np.int64) * 1_000_003 + 7_654_321) % BASE**digits
    places = np.stack([numbers // BASE**place % BASE for place in reversed(range(digits))], axis=1)
    texts = np.ascontiguousarray(DIGITS[places]).view(f"S{digits}").ravel()
    return [prefix + text.decode("ascii") for text in texts.tolist()]


def shards(scale: float) -> list[float]:
    """Return the sizes of the shards that add up to the scale: any number of 1.0, then the rest."""
    whole = int(scale)
    rest = scale - whole
    return [WHOLE] * whole + ([rest] if rest > 1e-9 else [])
