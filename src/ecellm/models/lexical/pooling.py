"""One score of two: the stack's and the linear model's, pooled by weights that validation rows decide.

The two are fitted apart. Trained on top of the linear model's scores the stack learned next to nothing
(docs/notebook.md): what it could learn of easy rows was explained already, and what words leave open is mostly noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

#: Weights of the stack and of the linear model where validation rows are too few.
EVEN = (0.5, 0.5)
#: Fewer rows than this decide nothing.
FEWEST_ROWS = 40


@dataclass(frozen=True)
class Scored:
    """Two scores of each candidate of one row, and its right order: one candidate, or all of them, best first."""

    deep: Sequence[float]
    lexical: Sequence[float]
    order: Sequence[int]


def pooled(deep: Sequence[float], lexical: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the weighed sum of both scores (a logarithmic opinion pool, Genest and Zidek 1986, section 3); the
    stack's alone where the linear model has none."""
    if not lexical:
        return list(deep)
    return [weights[0] * one + weights[1] * other for one, other in zip(deep, lexical, strict=True)]


def fit_pool(rows: Sequence[Scored]) -> tuple[float, float]:
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
