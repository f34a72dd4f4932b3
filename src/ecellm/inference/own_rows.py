"""Questions of one's own: from a row of natural columns to a sample as the task draws it, and from the reply to an
answer in the row's own terms."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ecellm.dataset.dataset import Asked
from ecellm.inference.generator import Reply
from ecellm.records import Sample
from ecellm.tasks.answers import Ranking
from ecellm.tasks.task import Column, Task

#: A record of one product, whose keys are columns without their number: `product_1` for title_1, brand_1, ...
RECORD = "product"
NUMBERS = ("1", "2")

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a model answers to one question."""

    answer: T | None
    """In the question's own terms, such as a title for its letter; None where what it said cannot be read."""
    probability: float | None = None
    """Of this answer among its candidates; None where answers are written."""
    scores: dict[str, float] | None = None
    """Every candidate's probability by its answer (an order of products by its letters); they sum to 1."""
    near_tie: bool = False
    """Whether another answer is as likely within what the arithmetic can tell."""
    text: str = ""
    """What the model said."""


@dataclass(frozen=True)
class Put:
    """A question as it is put."""

    asked: Asked
    given: Mapping[str, Any]


def put(task: Task, row: Mapping[str, Any], name: str) -> Put:
    """Return the question that a row asks, under the task's seed instruction; `name` becomes the sample's id.

    Raises ValueError with one sentence where a needed value is missing or cannot be asked.
    """
    given = given_in(task, row)
    text, options = task.form.write(given)
    return Put(Asked(Sample(name, task.name, "IND", "test", text, options, ""), task.seed_instruction), given)


def given_in(task: Task, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's columns of a row: texts, lists of texts, None where nothing is given."""
    flat = {**row, **_records(row)}
    given: dict[str, Any] = {}
    for column in task.form.columns:
        value = flat.get(column.name)
        given[column.name] = _texts(column, value) if column.many else _text(column.name, value)
        if column.needed and not given[column.name]:
            raise ValueError(f"{column.name} is empty.")
    return given


def missing(task: Task, columns: Collection[str]) -> list[str]:
    """Return the needed columns that a table has neither by name nor in a record of its product."""
    return [
        column.name
        for column in task.form.columns
        if column.needed and column.name not in columns and _record_of(column.name) not in columns
    ]


def needs(task: Task) -> str:
    """Say which columns a task takes, the optional ones in brackets."""
    return ", ".join(column.name if column.needed else f"[{column.name}]" for column in task.form.columns)


def answered(task: Task, question: Put, reply: Reply) -> Answer[Any]:
    """Return a reply in the question's own terms."""
    scores = None if reply.scores is None else _said(task, question, reply.scores)
    return Answer(_read(task, question, reply.text), reply.probability, scores, reply.near_tie, reply.text)


def _read(task: Task, question: Put, text: str) -> Any:
    answer = task.answer.parse(text, question.asked.sample)
    return None if answer is None else task.form.read(answer, question.given)


def _said(task: Task, question: Put, scores: Mapping[str, float]) -> dict[str, float]:
    """Return the candidates' probabilities by answer; those of equal answers add up."""
    found: dict[str, float] = {}
    for candidate, score in scores.items():
        said = candidate if isinstance(task.answer, Ranking) else str(_read(task, question, candidate))
        found[said] = found.get(said, 0.0) + score
    return found


def _records(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that records of products hold; a record that is a text is a JSON object or a title."""
    found: dict[str, Any] = {}
    for number in NUMBERS:
        record = row.get(f"{RECORD}_{number}")
        if isinstance(record, str) and record.strip().startswith("{"):
            try:
                record = json.loads(record)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{RECORD}_{number} is no JSON object.") from error
        if isinstance(record, str):
            record = {"title": record}
        if isinstance(record, Mapping):
            found |= {f"{key}_{number}": value for key, value in record.items()}
        elif record is not None:
            raise ValueError(f"{RECORD}_{number} is neither an object nor a text.")
    return found


def _record_of(column: str) -> str:
    number = column.rpartition("_")[2]
    return f"{RECORD}_{number}" if number in NUMBERS else column


def _text(name: str, value: Any) -> str | None:
    """Return a value as a text; None for nothing, not a number and blanks."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, Mapping | list | tuple):
        raise ValueError(f"{name} is no single text.")
    text = str(value)
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError(f"{name} is not valid UTF-8.")
    return text if text.strip() else None


def _texts(column: Column, value: Any) -> list[str]:
    """Return a list's texts, blank ones left out; a text is a JSON list or the list's only one."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = [value]
    items: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    texts = [_text(column.name, item) for item in items]
    return [text for text in texts if text is not None]
