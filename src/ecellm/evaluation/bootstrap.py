"""Bootstrap intervals: test rows drawn with replacement, every figure computed again on each draw."""

from collections.abc import Callable, Iterator

import numpy as np

from ecellm.io.hashing import keyed_hash
from ecellm.tasks.metrics import Figures, Floats

DRAWS = 1000
LEVEL = 0.95
#: Row counts held at once: a chunk of draws stays in a processor's cache, which is four times as fast as 64 MB.
CELLS_AT_ONCE = 500_000


def intervals(
    stats: Floats, figures: Callable[[Floats], Figures], seed: int, *key: object
) -> dict[str, tuple[float, float]]:
    """Return the 95 % percentile interval (low, high) of each figure (Efron 1979).

    `stats` has shape [rows, k]; `figures` maps sums [draws, k] to arrays [draws]. Equal seed, key and number
    of rows give the same draws, so two models scored on the same rows are compared on the same resamples.
    """
    return {name: ends(values) for name, values in figures(resampled(stats, seed, *key)).items()}


def resampled(stats: Floats, seed: int, *key: object) -> Floats:
    """Return the sums [draws, k] of the rows of each draw."""
    return np.concatenate([counts @ stats for counts in _draws(len(stats), seed, *key)])


def ends(values: Floats) -> tuple[float, float]:
    """Return the percentile interval of a figure's values over the draws."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _draws(rows: int, seed: int, *key: object) -> Iterator[Floats]:
    """Give chunks [draws, rows] of how often each row was drawn; a thousand draws in all."""
    generator = np.random.default_rng(int(keyed_hash(seed, "bootstrap", *key), 16))
    at_once = max(1, min(DRAWS, CELLS_AT_ONCE // max(rows, 1)))
    for first in range(0, DRAWS, at_once):
        draws = min(at_once, DRAWS - first)
        drawn = generator.integers(0, rows, size=(draws, rows))
        drawn += np.arange(draws)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=draws * rows)
        yield counts.reshape(draws, rows).astype(np.float64)
