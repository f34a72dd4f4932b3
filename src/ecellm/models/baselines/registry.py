"""The baselines by name: what each is for, and the module and class that answer a task."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from ecellm.errors import ModelError
from ecellm.models.baselines.base import Baseline
from ecellm.tasks import TASKS, Task
from ecellm.tasks.text_pairs import whole_input


def _tfidf(task: Task) -> str | None:
    if task.answer.has_classes:
        return "TfidfClassifier"
    return {
        "choice": "TfidfRecommender" if task.history else None,
        "ranking": "TfidfRanker",
        "spans": "TrainingValues",
        "text": _copying("TfidfSnippet")(task),
    }[task.answer.kind]


def _encoder(task: Task) -> str | None:
    if task.answer.has_classes:
        return "PairClassifier"
    return "Ranker" if task.answer.kind == "ranking" else None


def _ranking(name: str) -> Callable[[Task], str | None]:
    return lambda task: name if task.answer.kind == "ranking" else None


def _next(name: str) -> Callable[[Task], str | None]:
    """Tasks whose options are what may follow a history."""
    return lambda task: name if task.history else None


def _values(name: str) -> Callable[[Task], str | None]:
    return lambda task: name if task.answer.kind == "spans" else None


def _copying(name: str) -> Callable[[Task], str | None]:
    """Free text that may be copied from one of several texts that are compared with a question."""
    return lambda task: name if task.answer.kind == "text" and task.compared is not whole_input else None


@dataclass(frozen=True)
class Kind:
    """A baseline; its module is imported when it is fitted or loaded, as some need libraries that others do not."""

    module: str
    class_for: Callable[[Task], str | None]
    """The name of the class that answers a task; None where it is not for it."""


#: What `ecellm baseline NAME` takes.
KINDS: dict[str, Kind] = {
    "tfidf": Kind("tfidf", _tfidf),
    "bm25": Kind("heuristics", _ranking("BM25")),
    "popularity": Kind("heuristics", _next("Popularity")),
    "last": Kind("heuristics", _next("LastItem")),
    "snippet": Kind("heuristics", _copying("Snippet")),
    "encoder": Kind("encoder", _encoder),
    "rgcn": Kind("rgcn", lambda task: "RGCN" if task.relates_products else None),
    "gsasrec": Kind("gsasrec", _next("GSASRec")),
    "recformer": Kind("recformer", _next("Recformer")),
    "suopentag": Kind("suopentag", _values("SUOpenTag")),
    "aveqa": Kind("aveqa", _values("AVEQA")),
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
