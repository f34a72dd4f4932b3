"""Fitting the weights by which the stack's scores and the linear model's are pooled, on validation rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from ecellm.models.xs.lexical.pooling import EVEN, PoolWeights, pooled
from ecellm.tasks.metrics import Floats

#: Fewer rows than this decide nothing.
FEWEST_ROWS = 40


@dataclass(frozen=True)
class ScoredCandidates:
    """Two scores of each candidate of one row, and its right order: one candidate, or all of them, best first."""

    deep: Sequence[float]
    lexical: Sequence[float]
    order: Sequence[int]


def fit_pool(rows: Sequence[ScoredCandidates], classes: int | None = None) -> PoolWeights:
    """Return the weights, none below 0, under which the right orders are likeliest (Plackett-Luce; for one right
    candidate its log-probability); EVEN where there are too few rows.

    With a number of classes, for tasks whose candidates are the same in every row, each class gets an offset too: the
    logarithm of its share of the rows, times a weight of 0 to 1. Stack and linear model are trained with weights that
    make classes more even than they are.
    """
    known = [row for row in rows if row.lexical]
    if len(known) < FEWEST_ROWS:
        return EVEN
    shares = np.zeros(0) if classes is None else _log_shares([row.order[0] for row in known], classes)

    def weights(found: NDArray[np.float64]) -> PoolWeights:
        return (*found[:2].tolist(), *(found[2:].sum() * shares).tolist())

    def loss(found: NDArray[np.float64]) -> float:
        chosen = weights(found)
        likelihoods = [_log_likelihood(pooled(row.deep, row.lexical, chosen), row.order) for row in known]
        return -float(np.mean(likelihoods))

    start = np.array(EVEN if classes is None else (*EVEN, 0.0))
    bounds = [(0.0, None), (0.0, None), (0.0, 1.0)][: len(start)]
    fitted = weights(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x)
    return tuple(round(weight, 4) + 0.0 for weight in fitted)  # no -0.0


def _log_shares(labels: Sequence[int], classes: int) -> Floats:
    """Return the logarithm of each class's share; each counts one more, so that none is 0."""
    counts = np.bincount(labels, minlength=classes) + 1
    return np.log(counts / counts.sum())


def _log_likelihood(given: Sequence[float], order: Sequence[int]) -> float:
    scores = np.array(given)
    if len(order) == 1:
        return float(scores[order[0]] - logsumexp(scores))
    ordered = scores[list(order)]
    rest = np.logaddexp.accumulate(ordered[::-1])[::-1]
    return float((ordered - rest).sum())
