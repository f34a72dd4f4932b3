"""Questions from a user's rows: a row of natural columns becomes an example of the task, and a reply an answer in the
row's own terms."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ecellm.errors import DataError
from ecellm.io.tables.cells import is_whole_text, list_of, text_of
from ecellm.io.tables.json_objects import NO_OBJECT, TOO_DEEP, JsonFaultError, json_object
from ecellm.models.base import Reply
from ecellm.tasks import TASKS
from ecellm.tasks.records import NUMBERS, RECORD
from ecellm.tasks.task import Column, Given, Task
from ecellm.types import Example, Question

T = TypeVar("T")
#: The fault of a text that is no record, as messages name it.
FAULTS = {NO_OBJECT: "no JSON object", TOO_DEEP: TOO_DEEP}


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a model answers to one question."""

    answer: T | None
    """In the question's own terms, such as a title for its letter; None where the completion cannot be parsed."""
    probability: float | None = None
    """Of this answer among its candidates, the reason why a confident "no" has a high one; None for free text."""
    probabilities: dict[str, float] | None = None
    """Of every candidate, by its answer (an order of products by its letters); they sum to 1. None for free text."""
    near_tie: bool = False
    """Whether another answer is as likely within the precision of the arithmetic."""
    text: str = ""
    """The model's completion."""

    @property
    def p_yes(self) -> float | None:
        """The probability of "yes", for a question that is answered by yes or no; None for any other."""
        if self.probabilities is None or self.probabilities.keys() != {"yes", "no"}:
            return None
        return self.probabilities["yes"]


@dataclass(frozen=True)
class RowQuestion:
    """A question with the values of the row that it was made from."""

    question: Question
    given: Given


def row_question(task: Task, row: Mapping[str, object], name: str) -> RowQuestion:
    """Return the question of a row, under the task's seed instruction; `name` becomes the example's id.

    Raises DataError with one sentence where a needed value is missing or invalid.
    """
    given = given_in(task, row)
    text, options = task.form.write(given)
    return RowQuestion(
        Question(Example(name, task.name, "IND", "test", text, options, ""), task.seed_instruction), given
    )


def given_in(task: Task, row: Mapping[str, object]) -> Given:
    """Return the task's columns of a row: texts, lists of texts, None where nothing is given."""
    flat = _flat(task, row)
    given: dict[str, str | list[str] | None] = {}
    for column in task.form.columns:
        value = flat.get(column.name)
        given[column.name] = _texts(column, value) if column.many else _text(column.name, value)
        if column.needed and not given[column.name]:
            raise DataError(f"{column.name} is empty.")
    return given


def example_questions(tasks: Collection[str] | None = None) -> list[Question]:
    """Return the questions of the tasks (None: of all), each under its task's seed instruction, in turn of the tasks.

    A task without sample rows has none.
    """
    rows = {name: task.sample_rows for name, task in TASKS.items() if tasks is None or name in tasks}
    turns = max(map(len, rows.values()), default=0)
    return [
        row_question(TASKS[name], asking[turn], f"{name}-{turn + 1}").question
        for turn in range(turns)
        for name, asking in rows.items()
        if turn < len(asking)
    ]


def missing(task: Task, columns: Collection[str]) -> list[str]:
    """Return the needed columns that a table has neither by name nor in a record of its product."""
    return [
        column.name
        for column in task.form.columns
        if column.needed and column.name not in columns and _record_of(column.name) not in columns
    ]


def needs(task: Task) -> str:
    """Name the columns that a task takes, the optional ones in brackets."""
    return ", ".join(column.name if column.needed else f"[{column.name}]" for column in task.form.columns)


def answered(task: Task, made: RowQuestion, reply: Reply) -> Answer[object]:
    """Return a reply in the question's own terms."""
    probabilities = None if reply.scores is None else _by_answer(task, made, reply.scores)
    found = task.read(reply.text, made.question.example, made.given)
    return Answer(found, reply.probability, probabilities, reply.near_tie, reply.text)


def _by_answer(task: Task, made: RowQuestion, scores: Mapping[str, float]) -> dict[str, float]:
    """Return the candidates' probabilities by answer; those of equal answers add up."""
    found: dict[str, float] = {}
    for candidate, score in scores.items():
        name = task.name_of(candidate, made.question.example, made.given)
        found[name] = found.get(name, 0.0) + score
    return found


def _flat(task: Task, row: Mapping[str, object]) -> dict[str, object]:
    """Return a row's columns, those of records of products among them; raises DataError where a product is given both
    ways, since one of them would be ignored."""
    names = [column.name for column in task.form.columns]
    flat = dict(row)
    for number in NUMBERS:
        record = f"{RECORD}_{number}"
        own = [name for name in names if name.endswith(f"_{number}")]
        if not own or record in names or record not in row:
            continue
        found = _record(record, row[record])
        if beside := [name for name in own if found and _is_there(row.get(name))]:
            raise DataError(
                f"{beside[0]} stands beside {record}: give product {number} as columns or as a record, not as both."
            )
        flat |= {f"{key}_{number}": value for key, value in found.items()}
    return flat


def _record(name: str, record: object) -> Mapping[object, object]:
    """Return the values of a record; one that is a text is a JSON object or a title, nothing is an empty one."""
    if not _is_there(record):
        return {}
    if isinstance(record, str) and record.strip().startswith("{"):
        try:
            record = json_object(record)
        except JsonFaultError as error:
            raise DataError(f"{name} is {FAULTS.get(str(error), f'a {error}')}.") from error
    if isinstance(record, str):
        return {"title": record}
    if not isinstance(record, Mapping):
        raise DataError(f"{name} is neither an object nor a text.")
    return record


def _is_there(value: object) -> bool:
    return not _is_nothing(value) and not (isinstance(value, str) and not value.strip())


def _record_of(column: str) -> str:
    number = column.rpartition("_")[2]
    return f"{RECORD}_{number}" if number in NUMBERS else column


def _text(name: str, value: object) -> str | None:
    """Return a value as a text; None for nothing, not a number and blanks."""
    if _is_nothing(value):
        return None
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        raise DataError(f"{name} is no single text.")
    value = bytes(value) if isinstance(value, bytearray) else value
    text = text_of(value)
    if text is None and isinstance(value, bytes):
        raise DataError(f"{name} is not valid UTF-8.")
    text = str(value) if text is None else text
    if not is_whole_text(text):
        raise DataError(f"{name} is not valid UTF-8.")
    return text if text.strip() else None


def _texts(column: Column, value: object) -> list[str]:
    """Return a list's texts, without blank ones; a text is a JSON list or the list's only item."""
    if _is_nothing(value):
        return []
    many = list(value) if isinstance(value, tuple) else list_of(value)
    if many is not None and any(_is_nothing(item) for item in many):
        raise DataError(f"{column.name} has an item that is null.")
    texts = [_text(column.name, item) for item in (many if many is not None else [value])]
    return [text for text in texts if text is not None]


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
