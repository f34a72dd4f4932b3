"""Expected calibration error: of answers with probability .8, four in five should be right."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from ecellm.evaluation.bootstrap import ends
from ecellm.tasks.metrics import Figures, Floats, ratio

#: Of equal width, from 0 to 1.
BINS = 10


#: A bin that has rows: its borders, and the mean probability and accuracy of its rows.
Bin = TypedDict("Bin", {"from": float, "to": float, "n": int, "probability": float, "accuracy": float})


class Calibration(TypedDict):
    """The calibration of a task's answers under a setting."""

    ece: float
    low: float
    high: float
    """The ends of the error's 95 % bootstrap interval."""
    n: int
    """Answers that have a probability."""
    bins: list[Bin]


def calibration_error(sums: Floats) -> Figures:
    """Return the expected calibration error from [..., 3 * BINS]: rows, probabilities and hits by bin.

    The mean over rows of |share of hits - mean probability| of the row's bin (Guo et al. 2017, equation 3).
    """
    rows, confidence, hits = np.split(sums, 3, axis=-1)
    return {"ece": ratio(np.abs(confidence - hits).sum(-1), rows.sum(-1))}


def calibration_stats(probabilities: Sequence[float | None], right: Floats) -> Floats:
    """Return each row's counts, [rows, 3 * BINS]; a row without a probability counts nowhere."""
    confidence = np.array([0.0 if value is None else value for value in probabilities])
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    one_hot = np.eye(BINS)[place] * np.array([[value is not None] for value in probabilities])
    return np.concatenate([one_hot, one_hot * confidence[:, None], one_hot * right[:, None]], axis=1)


def calibration(sums: Floats, drawn: Floats) -> Calibration:
    """Return the error with its interval, and the mean probability and accuracy of each bin that has rows.

    `sums` are those of all rows, [3 * BINS], `drawn` those of the bootstrap's draws, [draws, 3 * BINS].
    """
    low, high = ends(calibration_error(drawn)["ece"])
    rows, confidence, hits = np.split(sums, 3)
    return {
        "ece": float(calibration_error(sums)["ece"]),
        "low": low,
        "high": high,
        "n": int(rows.sum()),
        "bins": [
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "n": int(rows[number]),
                "probability": float(confidence[number] / rows[number]),
                "accuracy": float(hits[number] / rows[number]),
            }
            for number in range(BINS)
            if rows[number]
        ],
    }
