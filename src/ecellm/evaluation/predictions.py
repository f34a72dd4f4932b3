"""Reading PREDICTIONS.jsonl, whoever wrote it: only id, task, setting and text are needed."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ecellm.dataset.dataset import Dataset, split_setting
from ecellm.records import DOMAINS, Domain, Sample
from ecellm.tasks import TASKS
from ecellm.tasks.task import Task

NEEDED = ("id", "task", "setting", "text")

#: Probabilities may pass 1 by a rounding error of their sum.
ROUNDING = 1e-6


class Said(NamedTuple):
    """One answer: its text, and its probability among the candidates where the model gave one."""

    text: str
    probability: float | None = None


#: Answers by (task, setting), then by sample id.
Answered = dict[tuple[str, str], dict[str, Said]]


def read_predictions(path: Path, tests: Mapping[str, Sample]) -> Answered:
    """Return the answers of a predictions file to test samples (`tests`, by id).

    Raises ValueError, naming file and line, for a line that is not an object with the four texts, an id that
    is no test row's, a task or setting that does not fit the row, a probability that is none, and a second
    answer to the same question; and for a file that is missing or has no answer.
    """
    answered: Answered = {}
    first = _FirstLines()
    for place, row in json_lines(path):
        with place:
            _need_texts(row, NEEDED)
            _check(row, tests)
            first.note(row, place.number)
            said = Said(row["text"], _probability(row))
        answered.setdefault((row["task"], row["setting"]), {})[row["id"]] = said
    if not answered:
        raise ValueError(f"{path} has no predictions: write some with `ecellm predict`.")
    return answered


def read_bleurt(path: Path, tests: Mapping[str, Sample], task: str = "AG") -> dict[tuple[str, str], float]:
    """Return the BLEURT values of a file by (id, setting): JSON lines with id, setting and bleurt.

    Raises ValueError, naming file and line, as `read_predictions` does.
    """
    values: dict[tuple[str, str], float] = {}
    first = _FirstLines()
    for place, row in json_lines(path):
        with place:
            _need_texts(row, ("id", "setting"))
            _check({**row, "task": task}, tests)
            first.note(row, place.number)
            value = row.get("bleurt")
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError("'bleurt' is missing or not a number.")
            values[row["id"], row["setting"]] = float(value)
    if not values:
        raise ValueError(f"{path} has no BLEURT values: it needs lines with id, setting and bleurt.")
    return values


@dataclass(frozen=True)
class Group:
    """The test rows of a task under a setting, and what was answered to them."""

    task: Task
    setting: str
    samples: tuple[Sample, ...]
    """Those with an answer, in the dataset's order."""
    said: tuple[Said, ...]
    missing: int
    """Rows without an answer."""


def tests_of(dataset: Dataset) -> dict[str, Sample]:
    """Return the test rows by id, in the dataset's order."""
    return {sample.id: sample for domain in DOMAINS for sample in dataset.samples("test", domain)}


def read_groups(path: Path, dataset: Dataset) -> list[Group]:
    """Return the answers of a predictions file by setting and task, every setting that asks rows of the dataset.

    Raises ValueError as `read_predictions` does.
    """
    tests = tests_of(dataset)
    answered = read_predictions(path, tests)
    by_task: dict[tuple[str, Domain], list[Sample]] = {}
    for sample in tests.values():
        by_task.setdefault((sample.task, sample.domain), []).append(sample)
    found = []
    for setting in dataset.settings():
        domain, _ = split_setting(setting)
        for task in TASKS.values():
            rows = by_task.get((task.name, domain), [])
            said = answered.get((task.name, setting), {})
            asked = tuple(sample for sample in rows if sample.id in said)
            if rows:
                texts = tuple(said[sample.id] for sample in asked)
                found.append(Group(task, setting, asked, texts, len(rows) - len(asked)))
    return found


class Place:
    """A line of a file; as a context it puts file and line before a ValueError's sentence."""

    def __init__(self, path: Path, number: int):
        self.path, self.number = path, number

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError):
            raise ValueError(f"{self.path}, line {self.number}: {error}") from error


def json_lines(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the objects of a JSON-lines file with their places; blank lines are nothing.

    Raises ValueError, naming file and line, for what is no object.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                place = Place(path, number)
                with place:
                    row = _row(raw)
                yield place, row


class _FirstLines:
    """Where each question was answered first."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], int] = {}

    def note(self, row: Mapping[str, str], number: int) -> None:
        before = self.lines.setdefault((row["id"], row["setting"]), number)
        if before != number:
            raise ValueError(f"{row['id']} was answered under {row['setting']} on line {before} already; keep one.")


def _row(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8-sig"))  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("not valid JSON; was the writing interrupted here?") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object.")
    return row


def _need_texts(row: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(row.get(name), str):
            raise ValueError(f"{name!r} is missing or not text.")


def _probability(row: Mapping[str, Any]) -> float | None:
    value = row.get("probability")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 + ROUNDING:
        raise ValueError("'probability' is no number from 0 to 1.")
    return min(float(value), 1.0)


def _check(row: Mapping[str, str], tests: Mapping[str, Sample]) -> None:
    if row["task"] not in TASKS:
        raise ValueError(f"unknown task {row['task']!r}; choose from {', '.join(TASKS)}.")
    domain, _ = split_setting(row["setting"])
    sample = tests.get(row["id"])
    if sample is None:
        raise ValueError(f"the dataset has no test row {row['id']!r}; was it another dataset that was asked?")
    if sample.task != row["task"]:
        raise ValueError(f"{row['id']} is a row of {sample.task}, not of {row['task']}.")
    if sample.domain != domain:
        raise ValueError(f"{row['id']} is not asked under {row['setting']}: its domain is {sample.domain}.")
