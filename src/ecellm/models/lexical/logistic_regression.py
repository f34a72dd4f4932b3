"""Logistic regression over pair features, one class against all others; it is fitted in `linear_fitting.py`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from ecellm.models.calibration.applying import Labels
from ecellm.models.lexical.pair_features import PairFeatures, PairNotes, nested, under
from ecellm.models.lexical.sparse_rows import SparseRows
from ecellm.models.lexical.task_files import Arrays
from ecellm.tasks.metrics import Floats
from ecellm.tasks.text_pairs import TextPair

#: Below the log-probability of every class that a model knows: that of one which no training row has.
UNKNOWN = -30.0
#: Stands for a probability of 0, so that an offset can still be added to its logarithm.
SMALLEST = 1e-12


@dataclass
class Weights:
    """One weight vector a class, each fitted against all others; a single class has probability 1."""

    classes: Labels
    """[k], those that training rows have."""
    coefficients: Floats
    """[k, features]; of two classes [1, features], for the second."""
    intercepts: Floats
    """[k], or [1]"""

    def arrays(self) -> Arrays:
        """Return the fields by name."""
        return {"classes": self.classes, "coefficients": self.coefficients, "intercepts": self.intercepts}

    def probabilities(self, rows: SparseRows) -> Floats:
        """Return [rows, k], of sum 1."""
        if len(self.classes) == 1:
            return np.ones((rows.shape[0], 1))
        each = _logistic(rows.products(self.coefficients) + self.intercepts)
        if len(self.classes) == 2:
            each = np.concatenate([1 - each, each], axis=1)
        return np.asarray(each / each.sum(axis=1, keepdims=True), dtype=np.float64)


class ClassifierNotes(TypedDict):
    """What JSON holds of a `LinearClassifier`."""

    features: PairNotes
    count: int


@dataclass
class LinearClassifier:
    """A fitted model: features and weights."""

    features: PairFeatures
    model: Weights
    count: int
    """The number of classes, those that no training row has included."""

    def state(self) -> tuple[ClassifierNotes, Arrays]:
        """Return all that was learned."""
        notes, arrays = self.features.state()
        return {"features": notes, "count": self.count}, nested("features", arrays) | self.model.arrays()

    @classmethod
    def restored(cls, notes: ClassifierNotes, arrays: Arrays) -> "LinearClassifier":
        """Restore a model from what `state` returned."""
        features = PairFeatures.restored(notes["features"], under("features", arrays))
        weights = Weights(*(arrays[name] for name in ("classes", "coefficients", "intercepts")))
        return cls(features, weights, notes["count"])

    def log_probabilities(self, pairs: Sequence[TextPair]) -> Floats:
        """Return log-probabilities [pairs, count]."""
        return spread_log_probabilities(self.model, self.features.transform(pairs), self.count)


def spread_log_probabilities(model: Weights, rows: SparseRows, classes: int) -> Floats:
    """Spread the model's columns over all classes; one that it has not seen is below all others."""
    logs = np.full((rows.shape[0], classes), UNKNOWN)
    logs[:, model.classes] = np.log(np.maximum(model.probabilities(rows), SMALLEST))
    return logs


def _logistic(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) of each, by the C library's exp, as scipy's expit; numpy's differs in the last bit."""
    # Below -709 exp overflows; what is left is 0 for every use.
    shares = [1.0 / (1.0 + math.exp(-max(logit, -709.0))) for logit in logits.ravel().tolist()]
    return np.array(shares, dtype=np.float64).reshape(logits.shape)
