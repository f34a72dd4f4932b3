"""What the linear models of all tasks have in common: their scores, and what of a sample they read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ecellm.baselines.features import Floats, State
from ecellm.baselines.sides import Sides, counted_sides
from ecellm.inference.closed import candidates_of
from ecellm.keys import keyed_hash
from ecellm.records import Sample

#: The strength of a penalty is chosen on one of so many parts of the training rows.
FOLDS = 4
#: Log-probabilities below this are raised to it: no count of words makes an answer impossible.
LOWEST = -8.0


@dataclass(frozen=True)
class Value:
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
    values: tuple[Value, ...] = ()


NOTHING = Lexical()


class TaskScores(Protocol):
    """The linear model of one task."""

    @classmethod
    def fit(cls, task: str, rows: Mapping[str, Sequence[Sample]], seed: int) -> Self | None:
        """Return the model; None where the task's rows are of no use.

        `rows` are the training rows of all tasks, by task.
        """

    def read(self, samples: Sequence[Sample]) -> list[Lexical]:
        """Return the scores of samples, in order."""

    def state(self) -> State:
        """Return all that was learned."""

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Return what `state` was taken of."""


def pair_of(sample: Sample) -> Sides | None:
    """Return the two texts of a sample, or None where an imported input is of another form."""
    try:
        return counted_sides(sample)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def folds_of(keys: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return each row's fold by its key: as many in each, whatever the order of the rows."""
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys), key=lambda key: keyed_hash(seed, "fold", key)))}
    return np.array([ranks[key] % FOLDS for key in keys], dtype=np.int64)


def of_candidates(sample: Sample, logs: Floats) -> Lexical:
    """Return the scores where the sample has as many candidates."""
    if len(candidates_of(sample) or ()) != len(logs):
        return NOTHING
    return Lexical(tuple(np.maximum(logs, LOWEST).tolist()))
