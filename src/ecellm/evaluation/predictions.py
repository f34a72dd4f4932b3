"""Reading PREDICTIONS.jsonl, whoever wrote it: only id, task, setting and text are needed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ecellm.data.dataset import Dataset, split_setting
from ecellm.errors import DataError, EcellmError
from ecellm.io.tables.json_objects import JsonFaultError, json_value
from ecellm.tasks import TASKS
from ecellm.tasks.task import Task
from ecellm.types import DOMAINS, Domain, Example

NEEDED = ("id", "task", "setting", "text")

#: Probabilities may pass 1 by a rounding error of their sum.
ROUNDING = 1e-6


class PredictedText(NamedTuple):
    """The text of one prediction, and its probability among the candidates where the model gave one."""

    text: str
    probability: float | None = None


#: By (task, setting), then by example id.
PredictedTexts = dict[tuple[str, str], dict[str, PredictedText]]


def read_predictions(path: Path, tests: Mapping[str, Example]) -> PredictedTexts:
    """Return the texts of a predictions file for test examples (`tests`, by id).

    Raises DataError, naming file and line, for a line that is not an object with the four texts, an id that
    is no test row's, a task or setting that does not fit the row, an invalid probability, and a second
    answer to the same question; and for a file that is missing or has no answer.
    """
    found: PredictedTexts = {}
    first = _FirstLines()
    for place, row in json_lines(path):
        with place:
            named = _texts(row, NEEDED)
            _check(named, tests)
            first.note(named, place.number)
            predicted = PredictedText(named["text"], _probability(row))
        found.setdefault((named["task"], named["setting"]), {})[named["id"]] = predicted
    if not found:
        raise DataError(f"{path} has no predictions: write some with `ecellm predict`.")
    return found


def read_bleurt(path: Path, tests: Mapping[str, Example]) -> dict[tuple[str, str], float]:
    """Return the BLEURT values of a file by (id, setting): JSON lines with id, setting and bleurt.

    Raises DataError, naming file and line, as `read_predictions` does.
    """
    values: dict[tuple[str, str], float] = {}
    first = _FirstLines()
    for place, row in json_lines(path):
        with place:
            named = _texts(row, ("id", "setting"))
            example = tests.get(named["id"])
            _check({**named, "task": next(iter(TASKS)) if example is None else example.task}, tests)
            if example is not None and not TASKS[example.task].answer.is_compared:
                raise DataError(f"{named['id']} is a row of {example.task}, whose answers are no free text.")
            first.note(named, place.number)
            value = row.get("bleurt")
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise DataError("'bleurt' is missing or not a number.")
            values[named["id"], named["setting"]] = float(value)
    if not values:
        raise DataError(f"{path} has no BLEURT values: it needs lines with id, setting and bleurt.")
    return values


@dataclass(frozen=True)
class Group:
    """The test examples of a task under a setting, with what was predicted for them."""

    task: Task
    setting: str
    examples: tuple[Example, ...]
    """Those with an answer, in the dataset's order."""
    predictions: tuple[PredictedText, ...]
    missing: int
    """Rows without an answer."""


def tests_of(dataset: Dataset) -> dict[str, Example]:
    """Return the test rows by id, in the dataset's order."""
    return {example.id: example for domain in DOMAINS for example in dataset.examples("test", domain)}


def read_groups(path: Path, dataset: Dataset) -> list[Group]:
    """Return the predictions of a file by setting and task, for every setting that has test rows in the dataset.

    Raises DataError as `read_predictions` does.
    """
    tests = tests_of(dataset)
    predicted = read_predictions(path, tests)
    settings = dataset.settings()
    for _, setting in predicted:
        if setting not in settings:
            raise DataError(
                f"{path} has answers under {setting}, under which the dataset has no test rows: are they for another?"
            )
    by_task: dict[tuple[str, Domain], list[Example]] = {}
    for example in tests.values():
        by_task.setdefault((example.task, example.domain), []).append(example)
    found = []
    for setting in settings:
        domain, _ = split_setting(setting)
        for task in TASKS.values():
            rows = by_task.get((task.name, domain), [])
            texts = predicted.get((task.name, setting), {})
            examples = tuple(example for example in rows if example.id in texts)
            if rows:
                predictions = tuple(texts[example.id] for example in examples)
                found.append(Group(task, setting, examples, predictions, len(rows) - len(examples)))
    return found


class Place:
    """A line of a file; as a context manager it puts file and line before an error's message."""

    def __init__(self, path: Path, number: int):
        self.path, self.number = path, number

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EcellmError):
            raise DataError(f"{self.path}, line {self.number}: {error}") from error


def json_lines(path: Path) -> Iterator[tuple[Place, dict[str, object]]]:
    """Yield the objects of a JSON-lines file with their places; blank lines are skipped.

    Raises DataError, naming file and line, for a line that is no object.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
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
            raise DataError(f"{row['id']} was answered under {row['setting']} on line {before} already; keep one.")


def _row(raw: bytes) -> dict[str, object]:
    try:
        row = json_value(raw.decode("utf-8-sig").strip())  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8 text.") from error
    except JsonFaultError as error:
        raise DataError(f"{error}.") from error
    except ValueError as error:
        raise DataError("not valid JSON; was the writing interrupted here?") from error
    if not isinstance(row, dict):
        raise DataError("not a JSON object.")
    return row


def _texts(row: Mapping[str, object], names: Sequence[str]) -> dict[str, str]:
    """Return the values under these names; raises DataError for one that is missing or no text."""
    found = {}
    for name in names:
        value = row.get(name)
        if not isinstance(value, str):
            raise DataError(f"{name!r} is missing or not text.")
        found[name] = value
    return found


def _probability(row: Mapping[str, object]) -> float | None:
    value = row.get("probability")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 + ROUNDING:
        raise DataError("'probability' is no number from 0 to 1.")
    return min(float(value), 1.0)


def _check(row: Mapping[str, str], tests: Mapping[str, Example]) -> None:
    if row["task"] not in TASKS:
        raise DataError(f"unknown task {row['task']!r}; choose from {', '.join(TASKS)}.")
    domain, _ = split_setting(row["setting"])
    example = tests.get(row["id"])
    if example is None:
        raise DataError(f"the dataset has no test row {row['id']!r}; are these predictions for another dataset?")
    if example.task != row["task"]:
        raise DataError(f"{row['id']} is a row of {example.task}, not of {row['task']}.")
    if example.domain != domain:
        raise DataError(f"{row['id']} does not occur under {row['setting']}: its domain is {example.domain}.")
