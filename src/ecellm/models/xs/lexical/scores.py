"""Shared by the linear models of all tasks: their scores, and the texts of an example that they read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ecellm.errors import EcellmError
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.lexical.task_files import Arrays
from ecellm.models.lexical.text_pairs import text_pairs, weighted_pair
from ecellm.tasks.metrics import Floats
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example

#: Log-probabilities below this are raised to it: no count of words makes an answer impossible.
LOWEST = -8.0


@dataclass(frozen=True)
class KnownValue:
    """A text that training rows gave as the value of an attribute."""

    attribute: int
    """Which of the target attributes, by place."""
    text: str
    """In lower case."""
    source: str
    """The field that it stands in, in lower case."""
    score: float
    """The logit of how often it was right where it stood."""


@dataclass(frozen=True)
class Lexical:
    """The scores of one question; empty where its task has none or its input is of another form."""

    candidates: tuple[float, ...] = ()
    """One score a candidate, in their order: log-probabilities of a choice, logarithms of gains of a ranking."""
    values: tuple[KnownValue, ...] = ()


NOTHING = Lexical()


class TaskScores(Protocol):
    """The linear model of one task."""

    def read(self, examples: Sequence[Example]) -> list[Lexical]:
        """Return the scores of examples, in order."""

    def state(self) -> tuple[Mapping[str, object], Arrays]:
        """Return all that was learned: what JSON holds, with the `kind` of the model, and arrays."""


def pair_of(example: Example) -> TextPair | None:
    """Return the two texts of an example, or None where an imported input is of another form."""
    try:
        return weighted_pair(example)
    except (EcellmError, ValueError, KeyError, TypeError, AttributeError):
        return None


def pairs_of(example: Example) -> Sequence[TextPair]:
    """Return the pair of texts for each item of a list; none where an imported input is of another form."""
    try:
        return text_pairs(example)
    except (EcellmError, ValueError, KeyError, TypeError, AttributeError):
        return []


def of_candidates(example: Example, logs: Floats) -> Lexical:
    """Return the scores where the example has as many candidates."""
    if len(candidates_of(example) or ()) != len(logs):
        return NOTHING
    return Lexical(tuple(np.maximum(logs, LOWEST).tolist()))
