"""The baseline protocol: how a baseline is fitted, saved into a MODEL folder, loaded and used.

A baseline's MODEL folder holds one small model for each task it was fitted on: TASK.safetensors with its arrays,
TASK.json with its vocabularies and settings, and `ecellm.json`, which names the family ("baseline"), the kind of
model and the tasks. Nothing in it is executed when it is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from ecellm.data.dataset import Dataset
from ecellm.errors import DataError, ModelError
from ecellm.io.hashing import keyed_hash
from ecellm.models.base import Reply
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.decoding.candidates import candidates_of, right_candidate
from ecellm.models.lexical.logistic_regression import UNKNOWN
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.tasks import TASKS
from ecellm.tasks.task import Task
from ecellm.types import Example, Split

#: Called with (steps done, steps in all, a remark to show beside the bar).
FitProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Choices:
    """How a baseline is fitted; each ignores what it has no use for."""

    base: str = "minilm"
    """The encoder to start from: `minilm`, a folder, or a name on the hub."""
    epochs: int | None = None
    """Passes over the training rows; the model's own number where None."""
    limit: int | None = None
    """At most this many training rows of a task, drawn by keyed hash."""
    seed: int = 42
    device: str = "cpu"
    begun: Path | None = None
    """The checkpoint that a training loop writes after each pass and resumes from."""


class Baseline(Protocol):
    """A model of one task."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Fit on the task's training rows, select on its validation rows; equal choices give equal models.

        Raises ModelError where the dataset has no rows for it.
        """

    def save(self, part: TaskFiles) -> None:
        """Write the model."""

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read the model back."""

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer examples, in order, by the model's own probabilities where it has them: temperatures and thresholds
        are the `BaselineGenerator`'s."""


def rows_of(task: Task, dataset: Dataset, split: Split, limit: int | None = None) -> list[Example]:
    """Return the in-domain rows of a split, at most `limit`, in file order.

    Raises ModelError where there is no training row, and DataError for a row that is not in the task's form.
    """
    rows = dataset.examples(split, "IND", [task.name])
    if split == "train" and not rows:
        raise ModelError(f"{dataset.path} has no training rows of {task.name}: omit it with --tasks.")
    check_inputs(rows)
    if limit is None or limit >= len(rows):
        return rows
    kept = sorted(rows, key=lambda row: keyed_hash(dataset.seed, "limit", row.id))[:limit]
    chosen = {id(row) for row in kept}
    return [row for row in rows if id(row) in chosen]


def check_inputs(examples: Sequence[Example]) -> None:
    """Raise DataError for the first of these that is not in the form of its task, as imported rows may be."""
    for example in examples:
        try:
            TASKS[example.task].check_input(example)
        except DataError as error:
            raise DataError(f"{error} Mend or remove the row; `ecellm check` names all such rows.") from error


def label(example: Example) -> int:
    """Return the index of an example's right answer among its candidates; raises ModelError where it is none."""
    place = right_candidate(example)
    if place is None:
        raise ModelError(f"The answer of {example.id} is none of its candidates: {example.output[:60]!r}.")
    return place


def class_count(examples: Sequence[Example]) -> int:
    """Return the number of classes of a task, by the candidates of its rows."""
    return max(len(candidates_of(example) or ()) for example in examples)


def class_reply(example: Example, logs: Sequence[float]) -> Reply:
    """Return the reply to an example from log-probabilities [classes]; it may have more or fewer candidates."""
    count = len(candidates_of(example) or ())
    return candidate_reply(example, [*logs[:count], *[UNKNOWN] * (count - len(logs))], {})
