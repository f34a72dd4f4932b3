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
from ecellm.inference.generator import Reply
from ecellm.keys import keyed_hash
from ecellm.records import Sample, Split
from ecellm.tasks.task import Task

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
        """Answer samples, in order."""


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
