"""Parts of the test rows that are scored by themselves: by category, length, label, or any column of the rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq

from ecellm.data.dataset import Dataset
from ecellm.data.filters.quality import words_of
from ecellm.errors import DataError
from ecellm.tasks.task import Task
from ecellm.types import Example

CATEGORY, LENGTH, LABEL = "category", "length", "label"
#: A column with more values than this in one task names no slices.
MOST_SLICES = 50
NOTHING = "(none)"


class Slicer:
    """Assigns test rows to slices; `by` is category, length, label or a column of test.parquet."""

    def __init__(self, by: str, dataset: Dataset):
        self.by = by
        self._column: dict[str, str] = {}
        if by not in (LENGTH, LABEL):
            file = dataset.path / "test.parquet"
            names = pq.read_schema(file).names
            if by not in names:
                raise DataError(
                    f"There are no slices by {by!r}: choose category, length, label or a column of {file} "
                    f"({', '.join(names)})."
                )
            values = pq.read_table(file, columns=list(dict.fromkeys(("id", by)))).to_pydict()
            texts = (NOTHING if value is None else str(value) for value in values[by])
            self._column = dict(zip(values["id"], texts, strict=True))

    def slices(self, task: Task, examples: Sequence[Example]) -> dict[str, list[int]]:
        """Return the places of the examples by slice; empty where the task has no such slices.

        Raises DataError where there are more than a table can show.
        """
        if self.by == LENGTH:
            return _by_length(examples)
        names = [self._name(task, example) for example in examples]
        places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            if name is not None:
                places.setdefault(name, []).append(place)
        if len(places) > MOST_SLICES:
            raise DataError(
                f"{task.name} has {len(places):,} values of {self.by!r}, more than {MOST_SLICES}: slice by another."
            )
        return dict(sorted(places.items()))

    def _name(self, task: Task, example: Example) -> str | None:
        return task.answer.slice_of(example) if self.by == LABEL else self._column[example.id]


def _by_length(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return thirds by the words of input and options; rows of equal length stay together."""
    words = np.array([words_of(example) for example in examples])
    first, second = (int(np.quantile(words, share)) for share in (1 / 3, 2 / 3))
    named = {
        f"to {first} words": words <= first,
        f"{first + 1} to {second} words": (words > first) & (words <= second),
        f"over {second} words": words > second,
    }
    return {name: np.flatnonzero(held).tolist() for name, held in named.items() if held.any()}
