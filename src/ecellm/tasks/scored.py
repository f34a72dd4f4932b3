"""Scoring results: per-row counts, and the figures that their sums give."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import numpy as np

from ecellm.errors import DataError
from ecellm.tasks.metrics import Figures, Floats
from ecellm.types import Example

#: Strict: an answer that cannot be parsed is wrong; it misses its row's class or triples and gains nothing.
#: Published: the rules of the authors' evaluation script, weaknesses included: what cannot be parsed mostly
#: counts in no figure.
Scoring = Literal["strict", "published"]
SCORINGS: tuple[Scoring, ...] = ("strict", "published")


class PairScorer(Protocol):
    """Compares free texts with their references; `BertScorer` is one."""

    name: str

    def score(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Return precision, recall and F1 of (answer, reference) pairs, [pairs, 3]."""


class NotScorableError(DataError):
    """The test rows lack what scoring needs; the sentence says what and what to do."""


@dataclass(frozen=True)
class Scored:
    """Per-row counts, and the function from their sums to figures."""

    stats: Floats
    """[rows, k]"""
    figures: Callable[[Floats], Figures]
    """Sums [..., k] to arrays [...] by metric."""
    models: Mapping[str, str] = field(default_factory=dict)
    """The model that compared free texts, by the metrics that depend on one."""

    def values(self) -> dict[str, float]:
        """Return the figures of all rows."""
        return {name: float(value) for name, value in self.figures(self.stats.sum(0)).items()}


#: A parsed answer.
T = TypeVar("T")
#: From parsed answers (None: unparsed), one a row, to their counts.
RowScorer = Callable[[Sequence[T | None]], Scored]


def confusion_cells(
    labels: Sequence[str | None], answers: Sequence[str | None], classes: Iterable[str], keep_unparsed: bool
) -> tuple[Floats, tuple[int, int]]:
    """Return each row's cell of the confusion array, one-hot [rows, C * (C + 1)], and its shape [C, C + 1].

    A row whose answer is None stands in the last column, or counts nowhere.
    """
    place: dict[str | None, int] = {name: number for number, name in enumerate(classes)}
    shape = (len(place), len(place) + 1)
    place[None] = len(place)
    answered = np.array([place[answer] for answer in answers], dtype=np.int64)
    cells = np.array([place[label] for label in labels], dtype=np.int64) * shape[1] + answered
    stats = np.zeros((len(labels), shape[0] * shape[1]))
    rows = np.arange(len(labels)) if keep_unparsed else np.flatnonzero(answered < shape[0])
    stats[rows, cells[rows]] = 1.0
    return stats, shape


def bad_label(example: Example, problem: str) -> NotScorableError:
    """Return the error for a test row whose reference is not of its task's form."""
    return NotScorableError(
        f"The test row {example.id} has the output {example.output[:60]!r}, which is {problem}: "
        "correct or remove it, then make the dataset again."
    )
