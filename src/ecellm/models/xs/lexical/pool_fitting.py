"""Fitting the weights by which the stack's scores and the linear model's are pooled, on validation rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from ecellm.models.xs.lexical.pooling import EVEN, pooled

#: Fewer rows than this decide nothing.
FEWEST_ROWS = 40


@dataclass(frozen=True)
class ScoredCandidates:
    """Two scores of each candidate of one row, and its right order: one candidate, or all of them, best first."""

    deep: Sequence[float]
    lexical: Sequence[float]
    order: Sequence[int]


def fit_pool(rows: Sequence[ScoredCandidates]) -> tuple[float, float]:
    """Return the weights, none below 0, under which the right orders are likeliest (Plackett-Luce; for one right
    candidate its log-probability); EVEN where there are too few rows."""
    known = [row for row in rows if row.lexical]
    if len(known) < FEWEST_ROWS:
        return EVEN

    def loss(weights: NDArray[np.float64]) -> float:
        chosen = weights.tolist()
        likelihoods = [_log_likelihood(pooled(row.deep, row.lexical, chosen), row.order) for row in known]
        return -float(np.mean(likelihoods))

    found = minimize(loss, np.array(EVEN), method="L-BFGS-B", bounds=[(0.0, None), (0.0, None)])
    deep, lexical = (round(float(weight), 4) for weight in found.x)
    return deep, lexical


def _log_likelihood(given: Sequence[float], order: Sequence[int]) -> float:
    scores = np.array(given)
    if len(order) == 1:
        return float(scores[order[0]] - logsumexp(scores))
    ordered = scores[list(order)]
    rest = np.logaddexp.accumulate(ordered[::-1])[::-1]
    return float((ordered - rest).sum())
