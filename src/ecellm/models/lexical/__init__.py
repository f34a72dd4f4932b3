"""What counting words says of a question: scores that XS adds to its own.

A small stack is slow to learn which single words decide an answer; a linear model of counted words knows it at once,
but nothing of what words mean. XS has both, trained as one (wide and deep learning, Cheng et al. 2016): the linear
models are fitted first, their scores of training rows coming from fits that have not seen those rows, so that the
stack learns what they leave open.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecellm.baselines.part import Part
from ecellm.inference.closed import candidates_of
from ecellm.models.lexical.classes import ClassScores, OrderScores
from ecellm.models.lexical.purchases import NextScores
from ecellm.models.lexical.scores import NOTHING, Lexical, TaskScores, Value
from ecellm.models.lexical.values import ValueScores
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import Ranking, Triples

__all__ = ["MOST_CLASSES", "NOTHING", "Lexical", "LexicalScores", "Value"]

#: More options than this are not the fixed classes of a task.
MOST_CLASSES = 5
#: Of the files' names: lexical.PM.json and lexical.PM.safetensors.
PREFIX = "lexical"


class LexicalScores:
    """The linear models of a model's tasks."""

    def __init__(self, tasks: Mapping[str, TaskScores]):
        self.tasks = dict(tasks)

    @classmethod
    def fit(cls, samples: Sequence[Sample], seed: int) -> tuple["LexicalScores", list[Lexical]]:
        """Fit on training rows; return the models and the rows' held-out scores, in order."""
        places: dict[str, list[int]] = defaultdict(list)
        for place, sample in enumerate(samples):
            places[sample.task].append(place)
        rows = {task: [samples[place] for place in found] for task, found in places.items()}
        models: dict[str, TaskScores] = {}
        scores = [NOTHING] * len(samples)
        for task, found in places.items():
            kind = _kind(task, rows[task])
            fitted = kind.fit(task, rows, seed) if kind is not None else None
            if fitted is not None:
                models[task], held_out = fitted
                for place, row in zip(found, held_out, strict=True):
                    scores[place] = row
        return cls(models), scores

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


def _kind(task: str, samples: Sequence[Sample]) -> type[TaskScores] | None:
    """Return what kind of model a task has; None for free text."""
    answer = TASKS[task].answer
    if isinstance(answer, Ranking):
        return OrderScores
    if isinstance(answer, Triples):
        return ValueScores
    candidates = candidates_of(samples[0])
    if candidates is None:
        return None
    return ClassScores if len(candidates) <= MOST_CLASSES else NextScores
