"""What counting words says of a question: linear models beside XS's stack, whose scores are pooled with its own.

A small stack is slow to learn which single words decide an answer; a linear model of counted words knows it at once,
but nothing of what words mean. The two are fitted apart and pooled by weights from validation rows (`pooling.py`).
Attribute values are the exception: the stack reads which spans are known values, in training too.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecellm.baselines.part import Part
from ecellm.models.lexical.classes import ClassScores, OrderScores
from ecellm.models.lexical.purchases import NextScores
from ecellm.models.lexical.scores import NOTHING, Lexical, TaskScores, Value
from ecellm.models.lexical.values import ValueScores
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import FreeText, Ranking, Triples

__all__ = ["NOTHING", "Lexical", "LexicalScores", "Value"]

#: Of the files' names: lexical.PM.json and lexical.PM.safetensors.
PREFIX = "lexical"


class LexicalScores:
    """The linear models of a model's tasks."""

    def __init__(self, tasks: Mapping[str, TaskScores]):
        self.tasks = dict(tasks)

    @classmethod
    def fit(cls, samples: Sequence[Sample], seed: int) -> "LexicalScores":
        """Fit the model of each task on training rows; a task whose rows are of no use has none."""
        rows: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            rows[sample.task].append(sample)
        models: dict[str, TaskScores] = {}
        for task in rows:
            kind = _kind(task)
            model = kind.fit(task, rows, seed) if kind is not None else None
            if model is not None:
                models[task] = model
        return cls(models)

    def of_values(self) -> "LexicalScores":
        """Return the models of attribute values alone, which are all that training rows are read with."""
        return LexicalScores({task: model for task, model in self.tasks.items() if isinstance(model, ValueScores)})

    def read(self, samples: Sequence[Sample]) -> list[Lexical]:
        """Return the scores of samples, in order."""
        found = [NOTHING] * len(samples)
        for task, model in self.tasks.items():
            places = [place for place, sample in enumerate(samples) if sample.task == task]
            scores = model.read([samples[place] for place in places]) if places else []
            for place, row in zip(places, scores, strict=True):
                found[place] = row
        return found

    def save(self, folder: Path) -> dict[str, str]:
        """Write the models into a MODEL folder; return a hash by task, for its facts."""
        hashes = {}
        for task, model in self.tasks.items():
            part = Part(folder, f"{PREFIX}.{task}")
            part.write(*model.state())
            hashes[task] = part.hash()
        return hashes

    @classmethod
    def load(cls, folder: Path, hashes: Mapping[str, str]) -> "LexicalScores":
        """Read back what `save` wrote; raises ValueError where a file is missing or not the one that was written."""
        models: dict[str, TaskScores] = {}
        for task, known in hashes.items():
            part = Part(folder, f"{PREFIX}.{task}")
            if not part.notes.is_file() or not part.weights.is_file() or part.hash() != known:
                raise ValueError(
                    f"The files {PREFIX}.{task}.* in {folder} are not those that were tuned: tune again."
                )
            notes, arrays = part.read()
            models[task] = KINDS[notes.pop("kind")].restored(notes, arrays)
        return cls(models)


KINDS: dict[str, type[TaskScores]] = {
    "classes": ClassScores,
    "order": OrderScores,
    "next": NextScores,
    "values": ValueScores,
}


def _kind(task: str) -> type[TaskScores] | None:
    """Return what kind of model a task has; None for free text."""
    answer = TASKS[task].answer
    if isinstance(answer, FreeText):
        return None
    if isinstance(answer, Ranking):
        return OrderScores
    if isinstance(answer, Triples):
        return ValueScores
    return ClassScores if answer.has_classes else NextScores
