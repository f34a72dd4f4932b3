"""The baselines by name: what each is for, and the module and class that answer a task."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from ecellm.errors import ModelError
from ecellm.models.baselines.base import Baseline
from ecellm.tasks import TASKS, Task
from ecellm.tasks.text_pairs import whole_input

#: What a task may ask of a model.
WANTS: dict[str, Callable[[Task], bool]] = {
    "a class": lambda task: task.answer.has_classes,
    "an order": lambda task: task.answer.kind == "ranking",
    "values": lambda task: task.answer.kind == "spans",
    # Free text that may be copied from one of several texts that are compared with a question.
    "a text": lambda task: task.answer.kind == "text" and task.compared is not whole_input,
    # Of options, the one that follows a history.
    "the next": lambda task: task.history is not None,
    "a relation": lambda task: task.relates_products,
}


@dataclass(frozen=True)
class Kind:
    """A baseline; its module is imported when it is fitted or loaded, as some need libraries that others do not."""

    module: str
    classes: Mapping[str, str]
    """The name of the class for each of WANTS that it is for."""
    has_epochs: bool = False
    """Whether it is trained in epochs."""
    has_base: bool = False
    """Whether it starts from an encoder."""

    def class_for(self, task: Task) -> str | None:
        """Return the name of the class that answers a task; None where it is not for it."""
        return next((name for wanted, name in self.classes.items() if WANTS[wanted](task)), None)


#: What `ecellm baseline NAME` takes.
KINDS: dict[str, Kind] = {
    "tfidf": Kind(
        "tfidf",
        {
            "a class": "TfidfClassifier",
            "an order": "TfidfRanker",
            "values": "TrainingValues",
            "a text": "TfidfSnippet",
            "the next": "TfidfRecommender",
        },
    ),
    "bm25": Kind("heuristics", {"an order": "BM25"}),
    "popularity": Kind("heuristics", {"the next": "Popularity"}),
    "last": Kind("heuristics", {"the next": "LastItem"}),
    "snippet": Kind("heuristics", {"a text": "Snippet"}),
    "encoder": Kind("encoder", {"a class": "PairClassifier", "an order": "Ranker"}, has_epochs=True, has_base=True),
    "rgcn": Kind("rgcn", {"a relation": "RGCN"}, has_epochs=True),
    "gsasrec": Kind("gsasrec", {"the next": "GSASRec"}, has_epochs=True),
    "recformer": Kind("recformer", {"the next": "Recformer"}, has_epochs=True),
    "suopentag": Kind("suopentag", {"values": "SUOpenTag"}, has_epochs=True),
    "aveqa": Kind("aveqa", {"values": "AVEQA"}, has_epochs=True, has_base=True),
}


def tasks_of(name: str) -> tuple[str, ...]:
    """Return the tasks that a baseline is for; raises ModelError for an unknown one."""
    if name not in KINDS:
        close = difflib.get_close_matches(name, KINDS, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ModelError(f"There is no baseline {name!r}: name one of {', '.join(KINDS)}.{hint}")
    return tuple(task.name for task in TASKS.values() if KINDS[name].class_for(task))


def kind(name: str, task: str) -> type[Baseline]:
    """Return the class that answers a task; raises ModelError where this baseline is not for it."""
    tasks = tasks_of(name)
    found = KINDS[name].class_for(TASKS[task])
    if found is None:
        raise ModelError(f"The baseline {name!r} is for {', '.join(tasks)}, not for {task}.")
    baseline: type[Baseline] = getattr(import_module(f"ecellm.models.baselines.{KINDS[name].module}"), found)
    return baseline
