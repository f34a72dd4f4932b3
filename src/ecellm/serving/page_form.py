"""A task's form on the page, made of its columns: what it shows, and the body of JSON that it stands for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecellm.serving.problems import FieldError
from ecellm.serving.schemas import Row, body_of, place_of, single_columns
from ecellm.tasks import Task
from ecellm.tasks.records import records, without_number
from ecellm.tasks.task import Column

#: Characters of an example's text beyond which its field is made for several lines.
LONG = 60
EMPTY = "Fill in this field."
#: Words that a hint has beside those of its field's label, and that say nothing more.
STOP_WORDS = frozenset({"a", "the", "of", "product", "product's", "1", "2"})


@dataclass
class FormField:
    """One field."""

    name: str
    label: str
    hint: str
    needed: bool
    lines: int
    """How many it shows at first; it grows with its text."""
    enter_submits: bool
    """Whether Enter sends the form, as in a field of one line."""
    value: str = ""
    error: str = ""


@dataclass
class FieldGroup:
    """Fields that stand together: those of one product, or any others."""

    legend: str
    fields: list[FormField] = field(default_factory=list)


def form_groups(task: Task, row: Row, errors: Sequence[FieldError] = ()) -> list[FieldGroup]:
    """Return a task's fields with the values of a row, and what is wrong with them."""
    numbers = {name: number for number, own in records(single_columns(task)).items() for name in own}
    wrong = _by_column(task, errors)
    groups: list[FieldGroup] = []
    for column in task.form.columns:
        number = numbers.get(column.name)
        legend = f"Product {number}" if number else ""
        if not any(group.legend == legend for group in groups):
            groups.append(FieldGroup(legend))
        group = next(group for group in groups if group.legend == legend)
        label = _words(without_number(column.name) if number else column.name)
        error = wrong.get(column.name, "")
        if error and column.needed and not row.get(column.name):
            error = EMPTY
        group.fields.append(
            FormField(
                column.name,
                label,
                _hint(column, label),
                column.needed,
                3 if column.many or _is_long(task, column) else 1,
                not column.many and column.needed and not _is_long(task, column),
                _shown(row.get(column.name)),
                error,
            )
        )
    return groups


def general_errors(task: Task, errors: Sequence[FieldError]) -> list[str]:
    """Return what is wrong with no field in particular."""
    known = {id(error) for error in errors if _column_of(task, error) is not None}
    return [error.detail for error in errors if id(error) not in known]


def row_of(task: Task, sent: Mapping[str, Any]) -> dict[str, object]:
    """Return the row of a form that was sent: one text of a list a line, what is empty not at all."""
    row: dict[str, object] = {}
    for column in task.form.columns:
        value = sent.get(column.name)
        # Browsers send every line break as two characters.
        text = value.replace("\r\n", "\n") if isinstance(value, str) else ""
        if column.many:
            many = [line.strip() for line in text.split("\n") if line.strip()]
            row |= {column.name: many} if many else {}
        elif text.strip():
            row[column.name] = text.strip("\n")
    return row


def question_body(task: Task, row: Row) -> dict[str, object]:
    """Return the same question as a body of the task's endpoint; a needed field that is empty stands in it empty."""
    given: dict[str, object] = {}
    for column in task.form.columns:
        if column.needed or column.name in row:
            given[column.name] = row.get(column.name, [] if column.many else "")
    return body_of(task, given)


def example_row(task: Task, place: int) -> Row:
    """Return one of the task's example questions by column; empty where there is none."""
    return task.sample_rows[place] if 0 <= place < len(task.sample_rows) else {}


def _hint(column: Column, label: str) -> str:
    """Return what a column holds and how much; empty where its label says as much."""
    says = column.says[:1].upper() + column.says[1:]
    if not column.many:
        adds = set(column.says.lower().split()) - STOP_WORDS - set(label.lower().split())
        return f"{says}." if adds else ""
    return f"{says}. One a line."


def _is_long(task: Task, column: Column) -> bool:
    return any(len(str(row.get(column.name, ""))) > LONG for row in task.sample_rows)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _words(name: str) -> str:
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def _by_column(task: Task, errors: Iterable[FieldError]) -> dict[str, str]:
    """Return the first error of each column."""
    found: dict[str, str] = {}
    for error in errors:
        column = _column_of(task, error)
        if column is not None:
            found.setdefault(column, _sentence(error.detail))
    return found


def _column_of(task: Task, error: FieldError) -> str | None:
    """Return the column whose place in the body an error names: its own, one inside it, or that of its record."""
    places = {"#" + place_of(task, column.name): column.name for column in task.form.columns}
    for place, column in places.items():
        if error.pointer == place or error.pointer.startswith(place + "/"):
            return column
    return next((column for place, column in places.items() if place.startswith(error.pointer + "/")), None)


def _sentence(detail: str) -> str:
    """Return an error without the field's place, beside which it stands."""
    place, colon, rest = detail.partition(": ")
    return rest[:1].upper() + rest[1:] if colon and " " not in place else detail
