"""Fixed classes and ranked lists: logistic regressions over the words of two texts."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ecellm.baselines.classify import STRENGTHS, Weights, fit_weights, spread_log_probabilities
from ecellm.baselines.features import Floats, PairFeatures, State, nested, under
from ecellm.baselines.sides import ranked_sides
from ecellm.evaluation.metrics import GAINS
from ecellm.inference.closed import candidates_of, right_candidate
from ecellm.models.lexical.scores import FOLDS, LOWEST, NOTHING, Lexical, folds_of, of_candidates, pair_of
from ecellm.records import Sample

#: The judgements from which the gain of a list's products is learned too.
JUDGEMENTS = "MPC"


class ClassScores:
    """A task of fixed classes: a logistic regression over the words of its two texts."""

    def __init__(self, features: PairFeatures, weights: Weights, classes: int):
        self.features, self.weights, self.classes = features, weights, classes

    @classmethod
    def fit(cls, task: str, rows: Mapping[str, Sequence[Sample]], seed: int) -> Self | None:
        """Fit on the rows whose input has the task's form."""
        read = [(sample, pair_of(sample), right_candidate(sample)) for sample in rows[task]]
        known = [(sample.id, pair, label) for sample, pair, label in read if pair is not None and label is not None]
        if len({label for _, _, label in known}) < 2 or len(known) < 2 * FOLDS:
            return None
        classes = max(len(candidates_of(sample) or ()) for sample in rows[task])
        ids, pairs, labels = zip(*known, strict=True)
        features = PairFeatures().fit(pairs)
        folds = folds_of(ids, seed)
        weights = fit_validated(features.transform(pairs), np.array(labels, dtype=np.int64), classes, folds)
        return cls(features, weights, classes)

    def read(self, samples: Sequence[Sample]) -> list[Lexical]:
        """Return log-probabilities of the candidates."""
        texts = [pair_of(sample) for sample in samples]
        pairs = [pair for pair in texts if pair is not None]
        if not pairs:
            return [NOTHING] * len(samples)
        logs = iter(spread_log_probabilities(self.weights, self.features.transform(pairs), self.classes))
        return [
            NOTHING if pair is None else of_candidates(sample, next(logs))
            for sample, pair in zip(samples, texts, strict=True)
        ]

    def state(self) -> State:
        """Return features and weights."""
        notes, arrays = self.features.state()
        return {"kind": "classes", "features": notes, "classes": self.classes}, nested("features", arrays) | nested(
            "weights", self.weights.arrays()
        )

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Return what `state` was taken of."""
        features = PairFeatures.restored(notes["features"], under("features", arrays))
        return cls(features, Weights(**under("weights", arrays)), notes["classes"])


class OrderScores:
    """A task of ranked lists: the expected gain of each product, from labelled lists and single judgements."""

    def __init__(self, features: PairFeatures, weights: Weights):
        self.features, self.weights = features, weights

    @classmethod
    def fit(cls, task: str, rows: Mapping[str, Sequence[Sample]], seed: int) -> Self | None:
        """Fit on every labelled pair; a query's pairs stay together where the strength is chosen."""
        listed = [
            (pair, list(GAINS).index(label))
            for sample in rows[task]
            if sample.labels
            for pair, label in zip(ranked_sides(sample), sample.labels, strict=True)
        ]
        judged = [(pair_of(sample), right_candidate(sample)) for sample in rows.get(JUDGEMENTS, ())]
        known = [*listed, *((pair, label) for pair, label in judged if pair is not None and label is not None)]
        queries = [pair.left for pair, _ in known]
        labels = np.array([label for _, label in known], dtype=np.int64)
        if not listed or len(set(labels.tolist())) < 2 or len(set(queries)) < FOLDS:
            return None
        pairs = [pair for pair, _ in known]
        features = PairFeatures().fit(pairs)
        folds = folds_of(queries, seed)
        return cls(features, fit_validated(features.transform(pairs), labels, len(GAINS), folds))

    def read(self, samples: Sequence[Sample]) -> list[Lexical]:
        """Return the logarithm of each product's expected gain."""
        lists = [ranked_sides(sample) for sample in samples]
        pairs = [pair for found in lists for pair in found]
        logs = spread_log_probabilities(self.weights, self.features.transform(pairs), len(GAINS))
        gains = iter(_log_gains(logs))
        return [Lexical(tuple(next(gains) for _ in found)) for found in lists]

    def state(self) -> State:
        """Return features and weights."""
        notes, arrays = self.features.state()
        return {"kind": "order", "features": notes}, nested("features", arrays) | nested(
            "weights", self.weights.arrays()
        )

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Return what `state` was taken of."""
        features = PairFeatures.restored(notes["features"], under("features", arrays))
        return cls(features, Weights(**under("weights", arrays)))


def fit_validated(rows: Any, labels: NDArray[np.int64], classes: int, folds: NDArray[np.int64]) -> Weights:
    """Return weights fitted on all rows, with the strength of the penalty whose log loss on the first fold is least
    when it is fitted on the others."""
    inside = folds != 0
    right = labels[~inside]

    def loss(strength: float) -> float:
        weights = fit_weights(rows[inside], labels[inside], strength)
        logs = spread_log_probabilities(weights, rows[~inside], classes)
        return -float(np.maximum(logs[np.arange(len(right)), right], LOWEST).mean())

    return fit_weights(rows, labels, min(STRENGTHS, key=loss))


def _log_gains(logs: Floats) -> list[float]:
    """Return the logarithm of the expected gain of each row of log-probabilities [rows, labels]."""
    gains = np.array([2**gain - 1 for gain in GAINS.values()])
    return list(np.maximum(np.log(np.exp(logs) @ gains + np.exp(LOWEST)), LOWEST).tolist())
