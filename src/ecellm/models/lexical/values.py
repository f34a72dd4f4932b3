"""Attribute values: how far the values of training rows can be trusted where they stand."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ecellm.baselines.dictionary import Dictionary, attributes, collect_trust
from ecellm.baselines.features import State
from ecellm.models.lexical.scores import Lexical, Value
from ecellm.records import Sample

#: A trust of 0 or 1 is brought this far inside before its logit is taken.
NEAREST = 0.02
#: Values of one attribute that are offered, the most trusted ones.
MOST_VALUES = 12


class ValueScores:
    """A task of attribute values: how far values of training rows can be trusted where they stand."""

    def __init__(self, dictionary: Dictionary):
        self.dictionary = dictionary

    @classmethod
    def fit(cls, task: str, rows: Mapping[str, Sequence[Sample]], seed: int) -> Self | None:
        """Collect the values; the row that a value came from is left out of its trust."""
        return cls(Dictionary(collect_trust(rows[task])))

    def read(self, samples: Sequence[Sample]) -> list[Lexical]:
        """Return the known values that stand in the samples' texts."""
        return [self._of(sample) for sample in samples]

    def _of(self, sample: Sample) -> Lexical:
        known = self.dictionary.lookup(sample)
        order = {name: place for place, name in enumerate(attributes(sample))}
        values = []
        for name, found in known.items():
            for entry in found[:MOST_VALUES]:
                trust = min(max(entry.trust, NEAREST), 1 - NEAREST)
                score = float(np.log(trust / (1 - trust)))
                values.append(Value(order[name], entry.span.value, entry.span.source, score))
        return Lexical(values=tuple(values))

    def state(self) -> State:
        """Return the trust of each value."""
        return {"kind": "values", "trust": self.dictionary.trust}, {}

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Return what `state` was taken of."""
        return cls(Dictionary(notes["trust"]))
