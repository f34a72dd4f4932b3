"""What every baseline has in common: how one is fitted, saved into a MODEL folder, loaded and asked.

A baseline's MODEL folder holds one small model for each task it was fitted on: TASK.safetensors with its arrays,
TASK.json with its vocabularies and settings, and `ecellm.json`, which names the family ("baseline"), the kind of
model and the tasks. Nothing in it is executed when it is read.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from ecellm.dataset.dataset import Dataset
from ecellm.inference.closed import candidates_of, closed_reply, right_candidate
from ecellm.inference.generator import Reply
from ecellm.keys import keyed_hash
from ecellm.records import Sample, Split
from ecellm.tasks.task import Task

#: Below the log-probability of every class that a model knows: that of one which no training row has.
UNKNOWN = -30.0

#: Told (steps done, steps in all, what to say beside the bar).
Told = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Choices:
    """How a baseline is fitted; what a model has no use for, it leaves alone."""

    base: str = "minilm"
    """The encoder to start from: `minilm`, a folder, or a name on the hub."""
    epochs: int | None = None
    """Passes over the training rows; the model's own number where None."""
    limit: int | None = None
    """At most this many training rows of a task, drawn by keyed hash."""
    seed: int = 42
    device: str = "cpu"
    begun: Path | None = None
    """Where a training loop keeps what it has reached after each pass, and goes on from."""


@dataclass(frozen=True)
class Part:
    """The place of one task's model in a MODEL folder."""

    folder: Path
    task: str

    @property
    def notes(self) -> Path:
        """The file of vocabularies and settings."""
        return self.folder / f"{self.task}.json"

    @property
    def weights(self) -> Path:
        """The file of arrays."""
        return self.folder / f"{self.task}.safetensors"

    def write(self, notes: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write both files."""
        self.notes.write_text(json.dumps(notes, ensure_ascii=True) + "\n", encoding="utf-8")
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, self.weights)

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """Return what was written."""
        return json.loads(self.notes.read_text(encoding="utf-8")), load_file(self.weights)

    def hash(self) -> str:
        """Return the sha256 of the vocabularies and settings, for `ecellm.json` and so for the model's hash."""
        return hashlib.sha256(self.notes.read_bytes()).hexdigest()


class Baseline(Protocol):
    """A model of one task."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Fit on the task's training rows, settle on its validation rows; equal choices give equal models.

        Raises ValueError where the dataset has no rows for it.
        """

    def save(self, part: Part) -> None:
        """Write it down."""

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read it back."""

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer samples, in order, by the model's own probabilities where it has them: temperatures and thresholds
        are the `BaselineGenerator`'s."""


def rows_of(task: Task, dataset: Dataset, split: Split, limit: int | None = None) -> list[Sample]:
    """Return the in-domain rows of a split, at most `limit`, in file order.

    Raises ValueError where there is no training row.
    """
    rows = dataset.samples(split, "IND", [task.name])
    if split == "train" and not rows:
        raise ValueError(f"{dataset.path} has no training rows of {task.name}: leave it out with --tasks.")
    if limit is None or limit >= len(rows):
        return rows
    kept = sorted(rows, key=lambda row: keyed_hash(dataset.seed, "limit", row.id))[:limit]
    chosen = {id(row) for row in kept}
    return [row for row in rows if id(row) in chosen]


def label(sample: Sample) -> int:
    """Return the number of a sample's right answer among its candidates; raises ValueError where it is none."""
    place = right_candidate(sample)
    if place is None:
        raise ValueError(f"The answer of {sample.id} is none of its candidates: {sample.output[:60]!r}.")
    return place


def class_count(samples: Sequence[Sample]) -> int:
    """Return the number of classes of a task, by the candidates of its rows."""
    return max(len(candidates_of(sample) or ()) for sample in samples)


def class_reply(sample: Sample, logs: Sequence[float]) -> Reply:
    """Return the reply to a sample from log-probabilities [classes]; it may have more or fewer candidates."""
    count = len(candidates_of(sample) or ())
    return closed_reply(sample, [*logs[:count], *[UNKNOWN] * (count - len(logs))], {})
