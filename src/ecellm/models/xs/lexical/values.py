"""Attribute values: how far the values of training rows can be trusted where they stand."""

from collections.abc import Sequence
from typing import Literal, Self, TypedDict

import numpy as np

from ecellm.models.lexical.task_files import Arrays
from ecellm.models.lexical.value_dictionary import Dictionary, attributes
from ecellm.models.xs.lexical.scores import KnownValue, Lexical
from ecellm.types import Example

#: A trust of 0 or 1 is brought this far inside before its logit is taken.
NEAREST = 0.02
#: Values of one attribute that are offered, the most trusted ones.
MOST_VALUES = 12


class ValueNotes(TypedDict):
    """What JSON holds of `ValueScores`."""

    kind: Literal["values"]
    trust: dict[str, dict[str, float]]


class ValueScores:
    """A task of attribute values: how far values of training rows can be trusted where they stand."""

    def __init__(self, dictionary: Dictionary):
        self.dictionary = dictionary

    def read(self, examples: Sequence[Example]) -> list[Lexical]:
        """Return the known values that stand in the examples' texts."""
        return [self._of(example) for example in examples]

    def _of(self, example: Example) -> Lexical:
        known = self.dictionary.lookup(example)
        order = {name: place for place, name in enumerate(attributes(example))}
        values = []
        for name, found in known.items():
            for entry in found[:MOST_VALUES]:
                trust = min(max(entry.trust, NEAREST), 1 - NEAREST)
                score = float(np.log(trust / (1 - trust)))
                values.append(KnownValue(order[name], entry.span.value, entry.span.source, score))
        return Lexical(values=tuple(values))

    def state(self) -> tuple[ValueNotes, Arrays]:
        """Return the trust of each value."""
        return {"kind": "values", "trust": self.dictionary.trust}, {}

    @classmethod
    def restored(cls, notes: ValueNotes, arrays: Arrays) -> Self:
        """Restore a model from what `state` returned."""
        return cls(Dictionary(notes["trust"]))
