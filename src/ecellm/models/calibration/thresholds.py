"""Decision thresholds: offsets added to log-probabilities, fitted on validation rows for the metric that counts.

A model trained on cross-entropy answers with the likeliest class, which is rarely best for F1. One offset per class
moves the decision thresholds. `fitting.py` chooses the tasks and rows that they are fitted on.
"""

from collections.abc import Callable

import numpy as np

from ecellm.models.calibration.applying import Labels, decide
from ecellm.tasks.metrics import Floats

Metric = Callable[[Labels, Labels], float]

#: Fewer validation rows a class would overfit.
ROWS_A_CLASS = 40
#: Metrics of tasks whose answers are fixed classes, as `metrics.class_metric` names them.
CLASS_METRICS = ("accuracy", "f1", "macro_f1")

GRID = np.linspace(-4.0, 4.0, 65)
FOLDS = 5
ROUNDS = 3


def enough_rows(rows: int, classes: int) -> bool:
    """Return whether there are validation rows enough to fit thresholds, or choose by them."""
    return rows >= ROWS_A_CLASS * classes


def score_with_thresholds(log_probabilities: Floats, labels: Labels, metric: Metric) -> float:
    """Return the metric of rows [n, classes] under the thresholds fitted on them.

    By this baselines choose among passes or strengths, where there are `enough_rows`.
    """
    return metric(labels, decide(log_probabilities, fit_offsets(log_probabilities, labels, metric)))


def fit_offsets(log_probabilities: Floats, labels: Labels, metric: Metric) -> Floats:
    """Return the offsets [classes] that raise `metric(labels, chosen)` on rows [n, classes].

    Offsets fitted on few rows can do harm elsewhere. So they are kept only where they help on rows that they
    were not fitted on (5-fold cross-validation, rows taken in turn); otherwise all are 0.
    """
    zeros = np.zeros(log_probabilities.shape[1])
    folds = np.arange(len(labels)) % FOLDS
    chosen = np.empty(len(labels), dtype=np.int64)
    for fold in range(FOLDS):
        held, rest = folds == fold, folds != fold
        if not held.any() or not rest.any():
            return zeros
        chosen[held] = decide(log_probabilities[held], _search(log_probabilities[rest], labels[rest], metric))
    if metric(labels, chosen) <= metric(labels, decide(log_probabilities, zeros)):
        return zeros
    return _search(log_probabilities, labels, metric)


def _search(logs: Floats, labels: Labels, metric: Metric) -> Floats:
    """Move one class's offset at a time over a grid; the first class stays at 0, as only differences count."""
    offsets = np.zeros(logs.shape[1])
    for _ in range(ROUNDS):
        before = offsets.copy()
        for place in range(1, len(offsets)):
            values = []
            for step in GRID:
                offsets[place] = step
                values.append(metric(labels, decide(logs, offsets)))
            offsets[place] = GRID[_middle_of_best(np.array(values), before[place])]
        if np.array_equal(before, offsets):
            break
    return offsets


def _middle_of_best(values: Floats, before: float) -> int:
    """Return the place of the best value after smoothing over neighbours: a plateau beats a lone peak.

    Among equals the one nearest to the offset so far wins.
    """
    smooth = np.convolve(np.pad(values, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    best = np.flatnonzero(smooth >= smooth.max() - 1e-12)
    return int(best[np.argmin(np.abs(GRID[best] - before))])
