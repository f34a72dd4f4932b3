"""Lexical scores of a question: linear models beside XS's stack, whose scores are pooled with its own.

A small stack is slow to learn which single words decide an answer; a linear model of counted words knows it at once,
but nothing of what words mean. The two are fitted apart and pooled by weights from validation rows (`pooling.py`).
Attribute values are the exception: the stack reads which spans are known values, in training too.

They are fitted by scikit-learn (`fitting.py`) and read without it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecellm.errors import ModelError
from ecellm.models.lexical.task_files import Arrays, TaskFiles
from ecellm.models.xs.lexical.classes import ClassScores, OrderScores
from ecellm.models.xs.lexical.purchases import NextScores
from ecellm.models.xs.lexical.scores import NOTHING, KnownValue, Lexical, TaskScores
from ecellm.models.xs.lexical.snippets import QuoteScores
from ecellm.models.xs.lexical.values import ValueScores
from ecellm.types import Example

__all__ = ["NOTHING", "KnownValue", "Lexical", "LexicalScores"]

#: Of the files' names: lexical.PM.json and lexical.PM.safetensors.
PREFIX = "lexical"


class LexicalScores:
    """The linear models of a model's tasks."""

    def __init__(self, tasks: Mapping[str, TaskScores]):
        self.tasks = dict(tasks)

    def of_values(self) -> "LexicalScores":
        """Return the models of attribute values alone, which are all that training rows are read with."""
        return LexicalScores({task: model for task, model in self.tasks.items() if isinstance(model, ValueScores)})

    def read(self, examples: Sequence[Example]) -> list[Lexical]:
        """Return the scores of examples, in order."""
        found = [NOTHING] * len(examples)
        for task, model in self.tasks.items():
            places = [place for place, example in enumerate(examples) if example.task == task]
            scores = model.read([examples[place] for place in places]) if places else []
            for place, row in zip(places, scores, strict=True):
                found[place] = row
        return found

    def save(self, folder: Path) -> dict[str, str]:
        """Write the models into a MODEL folder; return a hash by task, for its facts."""
        hashes = {}
        for task, model in self.tasks.items():
            part = TaskFiles(folder, f"{PREFIX}.{task}")
            part.write(*model.state())
            hashes[task] = part.hash()
        return hashes

    @classmethod
    def load(cls, folder: Path, hashes: Mapping[str, str]) -> "LexicalScores":
        """Read back what `save` wrote; raises ModelError where a file is missing or not the one that was written."""
        models: dict[str, TaskScores] = {}
        for task, known in hashes.items():
            part = TaskFiles(folder, f"{PREFIX}.{task}")
            # Models that were tuned by older versions know the hash of the notes alone: to tune again takes hours.
            if not part.there() or known not in (part.hash(), part.older_hash()):
                raise ModelError(
                    f"The files {PREFIX}.{task}.* in {folder} are not those that were tuned: tune again."
                )
            notes, arrays = part.read()
            models[task] = KINDS[notes["kind"]](notes, arrays)
        return cls(models)


#: How each kind of model is restored from what its `state` returned.
KINDS: dict[str, Callable[[Any, Arrays], TaskScores]] = {
    "classes": ClassScores.restored,
    "order": OrderScores.restored,
    "next": NextScores.restored,
    "quotes": QuoteScores.restored,
    "values": ValueScores.restored,
}
