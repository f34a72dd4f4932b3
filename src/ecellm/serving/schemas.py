"""Request and response models of a task, made from its own definition: what it asks for, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pyarrow as pa
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    Strict,
    StrictInt,
    StringConstraints,
    Tag,
    create_model,
)

from ecellm.inference.row_questions import row_question
from ecellm.tasks import Task
from ecellm.tasks.records import RECORD, nested, records, without_number
from ecellm.tasks.task import Column

#: The longest text, in characters; the longest list of texts; and the questions of one request.
MAX_TEXT, MAX_ITEMS, MAX_QUESTIONS = 20_000, 200, 1000
#: The form of a body: one question or several; a record as a text or an object.
# With blanks, so that no field has such a name.
ONE, SEVERAL, TEXT, OBJECT = "one question", "several questions", "as text", "as object"

# Not of blanks alone.
NeededText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
Number = StrictInt | Annotated[FiniteFloat, Strict()]
#: What need not be given may be a number, such as a price.
Value = Annotated[str, StringConstraints(max_length=MAX_TEXT)] | Number
Row = Mapping[str, object]


#: The fields of an answer beside `answer`, which each task types.
ANSWER_FIELDS: dict[str, Any] = {
    "probability": (
        Annotated[
            float | None,
            Field(ge=0, le=1, description="Of this answer among its candidates; null where it is written freely."),
        ],
        None,
    ),
    "probabilities": (
        Annotated[dict[str, float] | None, Field(description="Of every candidate, by its answer; they sum to 1.")],
        None,
    ),
    "near_tie": (
        Annotated[bool, Field(description="Whether another answer is as likely within the precision of arithmetic.")],
        False,
    ),
    "text": (Annotated[str, Field(description="The model's completion.")], ""),
}


@dataclass(frozen=True)
class TaskSchema:
    """How a task's questions and answers look in JSON."""

    task: Task
    question: type[BaseModel]
    questions: type[BaseModel]
    answer: type[BaseModel]
    answers: type[BaseModel]
    body: Any
    """One question or several."""

    def rows(self, body: BaseModel) -> list[Row]:
        """Return the rows of a body, by column."""
        several = isinstance(body, self.questions)
        return [_row(one) for one in (getattr(body, "questions") if several else [body])]  # noqa: B009


def task_schema(task: Task, max_questions: int = MAX_QUESTIONS) -> TaskSchema:
    """Return the models of a task."""
    name = task.title.replace("_", "")
    # What is made while the program runs is no type to a type checker.
    question: Any = _question(task, name)
    answered: Any = _plain(task.answer.column, name) | None
    several = Field(min_length=1, max_length=max_questions, description="The questions, answered in their order.")
    questions: Any = create_model(
        f"{name}Questions",
        __config__=ConfigDict(extra="forbid"),
        __doc__=f"Several questions of {task.name}.",
        questions=(list[question], several),
    )
    typed = Field(description="In the question's own terms; null where the completion cannot be parsed.")
    answer: Any = create_model(
        f"{name}Answer", __doc__=f"An answer of {task.name}.", answer=(answered, typed), **ANSWER_FIELDS
    )
    answers: Any = create_model(
        f"{name}Answers",
        __doc__=f"Answers of {task.name}.",
        answers=(list[answer], Field(description="One for each question, in their order.")),
    )
    either = Annotated[question, Tag(ONE)] | Annotated[questions, Tag(SEVERAL)]
    return TaskSchema(task, question, questions, answer, answers, Annotated[either, Discriminator(_count)])


def choices(task: Task) -> list[str]:
    """Return the answers to choose among, where they are the same for every question."""
    if not task.answer.has_classes or not task.sample_rows:
        return []
    made = row_question(task, task.sample_rows[0], "example")
    example = made.question.example
    answers = [task.answer.parse(text, example) for text in task.answer.candidates(example) or ()]
    return list(dict.fromkeys(str(task.form.read(one, made.given)) for one in answers if one is not None))


def example_body(task: Task, place: int = 0) -> dict[str, object]:
    """Return one of the task's example questions as a body."""
    return body_of(task, task.sample_rows[place]) if place < len(task.sample_rows) else {}


def body_of(task: Task, given: Row) -> dict[str, object]:
    """Return a question by column as a body: a record of which there is but a title is a text."""
    singles = single_columns(task)
    body = nested(singles, given)
    for name in (f"{RECORD}_{number}" for number in records(singles)):
        record = body[name]
        if isinstance(record, Mapping) and record.keys() == {"title"}:
            body[name] = record["title"]
    return body


def place_of(task: Task, column: str) -> str:
    """Return where in a question a column stands, as a JSON pointer; empty for what is no column."""
    if all(column != one.name for one in task.form.columns):
        return ""
    number = next((number for number, own in records(single_columns(task)).items() if column in own), None)
    return f"/{column}" if number is None else f"/{RECORD}_{number}/{without_number(column)}"


def single_columns(task: Task) -> dict[str, Column]:
    """Return the task's columns of single values, by name."""
    return {column.name: column for column in task.form.columns if not column.many}


def _question(task: Task, name: str) -> type[BaseModel]:
    singles = single_columns(task)
    by_number = records(singles)
    inside = {column for own in by_number.values() for column in own}
    fields: dict[str, Any] = {
        column.name: _field(column, column.says) for column in task.form.columns if column.name not in inside
    }
    for number, own in by_number.items():
        record: Any = create_model(
            f"{name}Record{number}",
            __config__=ConfigDict(extra="forbid"),
            __doc__=f"The record of product {number}.",
            **{without_number(name): _field(singles[name], singles[name].says) for name in own},
        )
        either = Annotated[
            Annotated[NeededText, Tag(TEXT)] | Annotated[record, Tag(OBJECT)], Discriminator(text_or_object)
        ]
        fields[f"{RECORD}_{number}"] = (either, Field(description=f"Product {number}: its record, or its title."))
    examples = [example_body(task, place) for place in range(len(task.sample_rows))]
    return create_model(
        f"{name}Question",
        __config__=ConfigDict(extra="forbid", json_schema_extra={"examples": examples}),  # type: ignore[dict-item]
        __doc__=f"A question of {task.name}.",
        **fields,
    )


def _field(column: Column, says: str) -> Any:
    if column.many:
        some = Field(
            min_length=column.least if column.needed else 0,
            max_length=MAX_ITEMS if column.most is None else column.most,
            description=says[:1].upper() + says[1:] + ".",
        )
        return (list[NeededText], some) if column.needed else (list[NeededText] | None, some)
    described = Field(description=says[:1].upper() + says[1:] + ".")
    if column.needed:
        return (NeededText, described)
    return (Annotated[Value | None, described], None)


def _row(question: BaseModel) -> Row:
    """Return a question by column: a record that is a text is a title, whatever sign it begins with."""
    given = question.model_dump(exclude_none=True)
    return {
        name: {"title": value} if name.startswith(f"{RECORD}_") and isinstance(value, str) else value
        for name, value in given.items()
    }


def _plain(kind: pa.DataType, name: str) -> Any:
    """Return the type of a table's column of answers as a type of JSON."""
    if pa.types.is_list(kind):
        return list[_plain(kind.value_type, name)]  # type: ignore[misc]
    if pa.types.is_struct(kind):
        fields: dict[str, Any] = {
            kind.field(place).name: (_plain(kind.field(place).type, name) | None, None)
            for place in range(kind.num_fields)
        }
        return create_model(f"{name}Value", **fields)
    return str


def text_or_object(value: object) -> str:
    """Return which of the two forms a value has."""
    return TEXT if isinstance(value, str) else OBJECT


def _count(body: object) -> str:
    several = "questions" in body if isinstance(body, Mapping) else hasattr(body, "questions")
    return SEVERAL if several else ONE
