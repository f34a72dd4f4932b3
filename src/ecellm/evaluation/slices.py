"""Parts of the test rows that are scored by themselves: by category, length, label, or any column of the rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq

from ecellm.dataset.dataset import Dataset
from ecellm.dataset.quality import words_of
from ecellm.evaluation.details import label_of
from ecellm.evaluation.scoring import NO_VALUE
from ecellm.records import Sample
from ecellm.tasks.answers import Triples
from ecellm.tasks.task import Task

CATEGORY, LENGTH, LABEL = "category", "length", "label"
#: A column with more values than this in one task names no slices.
MOST_SLICES = 50
NOTHING = "(none)"


class Slicer:
    """Says which slice a test row belongs to; `by` is category, length, label or a column of test.parquet."""

    def __init__(self, by: str, dataset: Dataset):
        self.by = by
        self._column: dict[str, str] = {}
        if by not in (LENGTH, LABEL):
            file = dataset.path / "test.parquet"
            names = pq.read_schema(file).names
            if by not in names:
                raise ValueError(
                    f"There are no slices by {by!r}: choose category, length, label or a column of {file} "
                    f"({', '.join(names)})."
                )
            values = pq.read_table(file, columns=list(dict.fromkeys(("id", by)))).to_pydict()
            texts = (NOTHING if value is None else str(value) for value in values[by])
            self._column = dict(zip(values["id"], texts, strict=True))

    def slices(self, task: Task, samples: Sequence[Sample]) -> dict[str, list[int]]:
        """Return the places of the samples by slice; empty where the task has no such slices.

        Raises ValueError where there are more than a table can show.
        """
        if self.by == LENGTH:
            return _by_length(samples)
        names = [self._name(task, sample) for sample in samples]
        places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            if name is not None:
                places.setdefault(name, []).append(place)
        if len(places) > MOST_SLICES:
            raise ValueError(
                f"{task.name} has {len(places):,} values of {self.by!r}, more than {MOST_SLICES}: slice by another."
            )
        return dict(sorted(places.items()))

    def _name(self, task: Task, sample: Sample) -> str | None:
        if self.by != LABEL:
            return self._column[sample.id]
        if task.answer.has_classes:
            return label_of(task, sample)
        if isinstance(task.answer, Triples):
            triples = task.answer.parse(sample.output, sample) or []
            return "with a value" if any(triple["value"] != NO_VALUE for triple in triples) else "without a value"
        return None


def _by_length(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Return thirds by the words of input and options; rows of equal length stay together."""
    words = np.array([words_of(sample) for sample in samples])
    first, second = (int(np.quantile(words, share)) for share in (1 / 3, 2 / 3))
    named = {
        f"to {first} words": words <= first,
        f"{first + 1} to {second} words": (words > first) & (words <= second),
        f"over {second} words": words > second,
    }
    return {name: np.flatnonzero(held).tolist() for name, held in named.items() if held.any()}
