"""Fixed classes and ranked lists: logistic regressions over the words of two texts, with held-out scores."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ecellm.baselines.classify import STRENGTHS, Weights, fit_weights, spread_log_probabilities
from ecellm.baselines.features import Floats, PairFeatures, State, nested, under
from ecellm.baselines.sides import ranked_sides
from ecellm.evaluation.metrics import GAINS
from ecellm.inference.closed import candidates_of
from ecellm.models.lexical.scores import FOLDS, LOWEST, NOTHING, Lexical, folds_of, label_of, of_candidates, pair_of
from ecellm.records import Sample

#: The judgements from which the gain of a list's products is learned too.
JUDGEMENTS = "MPC"


class ClassScores:
    """A task of fixed classes: a logistic regression over the words of its two texts."""

    def __init__(self, features: PairFeatures, weights: Weights, classes: int):
        self.features, self.weights, self.classes = features, weights, classes

    @classmethod
    def fit(cls, task: str, rows: Mapping[str, Sequence[Sample]], seed: int) -> tuple[Self, list[Lexical]] | None:
        """Fit on the rows whose input has the task's form."""
        samples = rows[task]
        texts = [pair_of(sample) for sample in samples]
        known = [place for place, pair in enumerate(texts) if pair is not None]
        labels = np.array([label_of(samples[place]) for place in known], dtype=np.int64)
        if len(set(labels.tolist())) < 2 or len(known) < 2 * FOLDS:
            return None
        classes = max(len(candidates_of(sample) or ()) for sample in samples)
        pairs = [pair for pair in texts if pair is not None]
        features = PairFeatures().fit(pairs)
        folds = folds_of([samples[place].id for place in known], seed)
        weights, held_out = cross_fitted(features.transform(pairs), labels, classes, folds)
        scores = [NOTHING] * len(samples)
        for place, row in zip(known, held_out, strict=True):
            scores[place] = of_candidates(samples[place], row)
        return cls(features, weights, classes), scores

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
    def fit(cls, task: str, rows: Mapping[str, Sequence[Sample]], seed: int) -> tuple[Self, list[Lexical]] | None:
        """Fit on every labelled pair; a query's pairs are held out together."""
        labelled = [sample for sample in rows[task] if sample.labels]
        pairs = [pair for sample in labelled for pair in ranked_sides(sample)]
        labels = [list(GAINS).index(label) for sample in labelled for label in sample.labels or ()]
        listed = len(pairs)
        for sample in rows.get(JUDGEMENTS, ()):
            pair = pair_of(sample)
            if pair is not None:
                pairs.append(pair)
                labels.append(label_of(sample))
        queries = [pair.left for pair in pairs]
        if len(set(labels)) < 2 or not listed or len(set(queries)) < FOLDS:
            return None
        features = PairFeatures().fit(pairs)
        folds = folds_of(queries, seed)
        numbers = np.array(labels, dtype=np.int64)
        weights, held_out = cross_fitted(features.transform(pairs), numbers, len(GAINS), folds)
        gains = iter(_log_gains(held_out[:listed]))
        scores = [
            Lexical(tuple(next(gains) for _ in sample.labels)) if sample.labels else NOTHING for sample in rows[task]
        ]
        return cls(features, weights), scores

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


def cross_fitted(
    rows: Any, labels: NDArray[np.int64], classes: int, folds: NDArray[np.int64]
) -> tuple[Weights, Floats]:
    """Return weights fitted on all rows, and log-probabilities [rows, classes] by fits that left the row's fold out.

    The strength of the penalty is the one of the smallest log loss on the first fold.
    """
    logs = np.full((rows.shape[0], classes), LOWEST)
    inside = folds != 0
    tried = [
        spread_log_probabilities(fit_weights(rows[inside], labels[inside], strength), rows[~inside], classes)
        for strength in STRENGTHS
    ]
    right = labels[~inside]
    losses = [-np.maximum(found[np.arange(len(right)), right], LOWEST).mean() for found in tried]
    best = int(np.argmin(losses))
    logs[~inside] = tried[best]
    for fold in range(1, FOLDS):
        inside = folds != fold
        weights = fit_weights(rows[inside], labels[inside], STRENGTHS[best])
        logs[~inside] = spread_log_probabilities(weights, rows[~inside], classes)
    return fit_weights(rows, labels, STRENGTHS[best]), logs


def _log_gains(logs: Floats) -> list[float]:
    """Return the logarithm of the expected gain of each row of log-probabilities [rows, labels]."""
    gains = np.array([2**gain - 1 for gain in GAINS.values()])
    return list(np.maximum(np.log(np.exp(logs) @ gains + np.exp(LOWEST)), LOWEST).tolist())
