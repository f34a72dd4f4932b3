"""Class-balanced logistic regression over pair features, with thresholds fitted on validation rows."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from ecellm.baselines.features import Floats, PairFeatures
from ecellm.baselines.sides import Sides
from ecellm.inference.decide import Metric, decide, fit_offsets

Labels = NDArray[np.int64]

STRENGTHS = (0.03, 0.1, 0.3, 1.0)
#: Below this many validation rows neither strength nor thresholds are fitted.
FEWEST_ROWS = 40
ITERATIONS = 300
#: Stands for a probability of 0, so that an offset can still be added to its logarithm.
SMALLEST = 1e-12


@dataclass
class Classifier:
    """A fitted model: features, weights, and one offset a class."""

    features: PairFeatures
    model: Any
    offsets: Floats

    def log_probabilities(self, pairs: Sequence[Sides]) -> Floats:
        """Return log-probabilities [pairs, classes], with no offset."""
        return _log_probabilities(self.model, self.features.transform(pairs), len(self.offsets))

    def classes(self, log_probabilities: Floats) -> Labels:
        """Return the chosen class of each row."""
        return decide(log_probabilities, self.offsets)


def fit_classifier(
    pairs: Sequence[Sides],
    labels: Labels,
    held_out: Sequence[Sides],
    held_out_labels: Labels,
    classes: int,
    metric: Metric,
) -> Classifier:
    """Fit on training pairs; strength of the penalty and offsets are those best on held-out rows by `metric`.

    Labels are in [0, classes); a class that no training row has is never chosen.
    """
    features = PairFeatures().fit(pairs)
    rows = features.transform(pairs)
    if len(held_out) < FEWEST_ROWS:
        return Classifier(features, _fit(rows, labels, 1.0), np.zeros(classes))
    held_out_rows = features.transform(held_out)
    fits = [_fit(rows, labels, strength) for strength in STRENGTHS]
    logs = [_log_probabilities(model, held_out_rows, classes) for model in fits]
    offsets = [fit_offsets(log, held_out_labels, metric) for log in logs]
    chosen = [decide(log, offset) for log, offset in zip(logs, offsets, strict=True)]
    best = int(np.argmax([metric(held_out_labels, labels) for labels in chosen]))
    return Classifier(features, fits[best], offsets[best])


def _fit(rows: Any, labels: Labels, strength: float) -> Any:
    """One weight vector a class: the dual solver is fifty times faster here than a joint fit, and as good."""
    if len(np.unique(labels)) == 1:
        return DummyClassifier().fit(rows, labels)
    model = OneVsRestClassifier(
        LogisticRegression(
            C=strength, class_weight="balanced", solver="liblinear", dual=True, max_iter=ITERATIONS, random_state=0
        )
    )
    with warnings.catch_warnings():
        # A fit that stops early is one more form of regularisation; validation rows judge it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, labels)


def _log_probabilities(model: Any, rows: Any, classes: int) -> Floats:
    """Spread the model's columns over all classes; one that it has not seen gets minus infinity."""
    logs = np.full((rows.shape[0], classes), -np.inf)
    logs[:, model.classes_] = np.log(np.maximum(model.predict_proba(rows), SMALLEST))
    return logs
