"""Fixed classes and ranked lists: logistic regressions over the words of two texts."""

from collections.abc import Sequence
from typing import Literal, Self, TypedDict

import numpy as np

from ecellm.models.lexical.logistic_regression import Weights, spread_log_probabilities
from ecellm.models.lexical.pair_features import PairFeatures, PairNotes, nested, under
from ecellm.models.lexical.task_files import Arrays
from ecellm.models.xs.lexical.scores import LOWEST, NOTHING, Lexical, of_candidates, pair_of, pairs_of
from ecellm.tasks import TASKS
from ecellm.tasks.metrics import Floats
from ecellm.types import Example


class ClassNotes(TypedDict):
    """What JSON holds of `ClassScores`."""

    kind: Literal["classes"]
    features: PairNotes
    classes: int


class OrderNotes(TypedDict):
    """What JSON holds of `OrderScores`."""

    kind: Literal["order"]
    features: PairNotes


class ClassScores:
    """A task of fixed classes: a logistic regression over the words of its two texts."""

    def __init__(self, features: PairFeatures, weights: Weights, classes: int):
        self.features, self.weights, self.classes = features, weights, classes

    def read(self, examples: Sequence[Example]) -> list[Lexical]:
        """Return log-probabilities of the candidates."""
        texts = [pair_of(example) for example in examples]
        pairs = [pair for pair in texts if pair is not None]
        if not pairs:
            return [NOTHING] * len(examples)
        logs = iter(spread_log_probabilities(self.weights, self.features.transform(pairs), self.classes))
        return [
            NOTHING if pair is None else of_candidates(example, next(logs))
            for example, pair in zip(examples, texts, strict=True)
        ]

    def state(self) -> tuple[ClassNotes, Arrays]:
        """Return features and weights."""
        notes, arrays = self.features.state()
        return {"kind": "classes", "features": notes, "classes": self.classes}, nested("features", arrays) | nested(
            "weights", self.weights.arrays()
        )

    @classmethod
    def restored(cls, notes: ClassNotes, arrays: Arrays) -> Self:
        """Restore a model from what `state` returned."""
        features = PairFeatures.restored(notes["features"], under("features", arrays))
        return cls(features, Weights(**under("weights", arrays)), notes["classes"])


class OrderScores:
    """A task of ranked lists: the expected gain of each item, from labelled lists and single judgements."""

    def __init__(self, features: PairFeatures, weights: Weights):
        self.features, self.weights = features, weights

    def read(self, examples: Sequence[Example]) -> list[Lexical]:
        """Return the logarithm of each product's expected gain."""
        if not examples:
            return []
        known = TASKS[examples[0].task].answer.gains
        lists = [pairs_of(example) for example in examples]
        pairs = [pair for found in lists for pair in found]
        if not pairs:
            return [NOTHING] * len(examples)
        logs = spread_log_probabilities(self.weights, self.features.transform(pairs), len(known))
        gains = iter(_log_gains(logs, list(known.values())))
        return [Lexical(tuple(next(gains) for _ in found)) for found in lists]

    def state(self) -> tuple[OrderNotes, Arrays]:
        """Return features and weights."""
        notes, arrays = self.features.state()
        return {"kind": "order", "features": notes}, nested("features", arrays) | nested(
            "weights", self.weights.arrays()
        )

    @classmethod
    def restored(cls, notes: OrderNotes, arrays: Arrays) -> Self:
        """Restore a model from what `state` returned."""
        features = PairFeatures.restored(notes["features"], under("features", arrays))
        return cls(features, Weights(**under("weights", arrays)))


def _log_gains(logs: Floats, known: Sequence[float]) -> list[float]:
    """Return the logarithm of the expected gain of each row of log-probabilities [rows, labels]."""
    gains = np.array([2**gain - 1 for gain in known])
    return list(np.maximum(np.log(np.exp(logs) @ gains + np.exp(LOWEST)), LOWEST).tolist())
