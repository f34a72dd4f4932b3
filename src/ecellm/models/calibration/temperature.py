"""Temperature scaling: one number a task under which probabilities match how often answers are right.

Guo et al. (2017, section 4.2) divide log-probabilities by one number, which leaves their order as it is: no answer
changes. `fitting.py` chooses the rows that it is fitted on.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

#: A temperature lies between e^-SPREAD and e^SPREAD.
SPREAD = 3.0

#: The log-probabilities of one row's candidates, and the right one's place.
ScoredRow = tuple[Sequence[float], int]


def fit_temperature(rows: Sequence[ScoredRow]) -> float:
    """Return the temperature under which the right answers are likeliest; rows may have different numbers of
    candidates."""
    logs = [np.asarray(scores, dtype=np.float64) for scores, _ in rows]
    right = [label for _, label in rows]

    def loss(spread: float) -> float:
        cold = math.exp(-spread)
        return float(sum(logsumexp(row * cold) - row[label] * cold for row, label in zip(logs, right, strict=True)))

    found = minimize_scalar(loss, bounds=(-SPREAD, SPREAD), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x)) if loss(float(found.x)) < loss(0.0) else 1.0
