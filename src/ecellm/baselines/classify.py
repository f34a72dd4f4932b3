"""Class-balanced logistic regression over pair features, its strength chosen on validation rows."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ecellm.baselines.features import Floats, PairFeatures, State, nested, under
from ecellm.baselines.part import UNKNOWN
from ecellm.baselines.sides import Sides
from ecellm.inference.thresholds import Labels, Metric, enough_rows, score_with_thresholds

STRENGTHS = (0.03, 0.1, 0.3, 1.0)
#: Where validation rows are too few to choose by.
DEFAULT_STRENGTH = 1.0
ITERATIONS = 300
#: Stands for a probability of 0, so that an offset can still be added to its logarithm.
SMALLEST = 1e-12


@dataclass
class Weights:
    """One weight vector a class, each fitted against all others; a single class has nothing to be told from."""

    classes: Labels
    """[k], those that training rows have."""
    coefficients: Floats
    """[k, features]; of two classes [1, features], for the second."""
    intercepts: Floats
    """[k], or [1]"""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fields by name."""
        return {"classes": self.classes, "coefficients": self.coefficients, "intercepts": self.intercepts}

    def probabilities(self, rows: Any) -> Floats:
        """Return [rows, k], of sum 1."""
        if len(self.classes) == 1:
            return np.ones((rows.shape[0], 1))
        each = expit(rows @ self.coefficients.T + self.intercepts)
        if len(self.classes) == 2:
            each = np.concatenate([1 - each, each], axis=1)
        return np.asarray(each / each.sum(axis=1, keepdims=True), dtype=np.float64)


@dataclass
class Classifier:
    """A fitted model: features and weights."""

    features: PairFeatures
    model: Weights
    count: int
    """The number of classes, those that no training row has included."""

    def state(self) -> State:
        """Return all that was learned."""
        notes, arrays = self.features.state()
        return {"features": notes, "count": self.count}, nested("features", arrays) | self.model.arrays()

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> "Classifier":
        """Return what `state` was taken of."""
        features = PairFeatures.restored(notes["features"], under("features", arrays))
        weights = Weights(*(arrays[name] for name in ("classes", "coefficients", "intercepts")))
        return cls(features, weights, notes["count"])

    def log_probabilities(self, pairs: Sequence[Sides]) -> Floats:
        """Return log-probabilities [pairs, count]."""
        return spread_log_probabilities(self.model, self.features.transform(pairs), self.count)


def fit_classifier(
    pairs: Sequence[Sides],
    labels: Labels,
    held_out: Sequence[Sides],
    held_out_labels: Labels,
    classes: int,
    metric: Metric,
) -> Classifier:
    """Fit on training pairs; the strength of the penalty is the best on held-out rows by `metric`, thresholds fitted.

    Labels are in [0, classes); a class that no training row has is never chosen.
    """
    features = PairFeatures().fit(pairs)
    rows = features.transform(pairs)
    if not enough_rows(len(held_out), classes):
        return Classifier(features, fit_weights(rows, labels, DEFAULT_STRENGTH), classes)
    held_out_rows = features.transform(held_out)
    fits = [fit_weights(rows, labels, strength) for strength in STRENGTHS]
    logs = [spread_log_probabilities(model, held_out_rows, classes) for model in fits]
    best = int(np.argmax([score_with_thresholds(log, held_out_labels, metric) for log in logs]))
    return Classifier(features, fits[best], classes)


def fit_weights(rows: Any, labels: Labels, strength: float) -> Weights:
    """One weight vector a class: the dual solver is fifty times faster here than a joint fit, and as good."""
    classes = np.unique(labels)
    if len(classes) == 1:
        return Weights(classes, np.zeros((0, rows.shape[1])), np.zeros(0))
    fits = []
    for known in classes if len(classes) > 2 else classes[1:]:
        model = LogisticRegression(
            C=strength, class_weight="balanced", solver="liblinear", dual=True, max_iter=ITERATIONS, random_state=0
        )
        with warnings.catch_warnings():
            # A fit that stops early is one more form of regularisation; validation rows judge it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(model.fit(rows, (labels == known).astype(np.int64)))
    return Weights(
        classes, np.concatenate([fit.coef_ for fit in fits]), np.concatenate([fit.intercept_ for fit in fits])
    )


def spread_log_probabilities(model: Weights, rows: Any, classes: int) -> Floats:
    """Spread the model's columns over all classes; one that it has not seen is below all others."""
    logs = np.full((rows.shape[0], classes), UNKNOWN)
    logs[:, model.classes] = np.log(np.maximum(model.probabilities(rows), SMALLEST))
    return logs
