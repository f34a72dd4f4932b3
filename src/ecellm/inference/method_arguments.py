"""What the methods of the Python API take, and how it becomes rows."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, TypedDict, TypeGuard

from ecellm.errors import DataError
from ecellm.inference.row_questions import Answer
from ecellm.tasks import TASKS

#: A product: its title, or its fields by name (title, description, brand, price, feature).
Product = str | Mapping[str, object]
Texts = list[str] | tuple[str, ...]
Products = list[str] | list[dict[str, Any]] | list[Mapping[str, Any]] | list[Product]
TextLists = list[list[str]] | list[tuple[str, ...]]
#: Answers whose type only the method knows that asks for them, and one of them or several.
Answers = list[Answer[Any]]
Answered = Answer[Any] | Answers


class AttributeValue(TypedDict):
    """What a text says of an attribute."""

    attribute: str
    value: str | None
    source: str | None
    """The field that the value stands in."""


def task_named(verb: str) -> str:
    """Return the name of the task that a method asks."""
    return next(task.name for task in TASKS.values() if task.verb == verb)


def is_many(value: object) -> TypeGuard[Sequence[object]]:
    """Say whether a value is a list or column of values."""
    return isinstance(value, Sized) and isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def are_lists(value: Sequence[object]) -> bool:
    """Say whether these are lists of texts, not texts."""
    return is_many(value) and is_many(next(iter(value), None))


def record_of(product: Product) -> Mapping[str, object]:
    """Return a product's record."""
    return {"title": product} if isinstance(product, str) else product


def in_columns(columns: Mapping[str, Sequence[object]], number: int) -> list[dict[str, object]]:
    """Return so many rows of columns; raises DataError where one has another length."""
    # By position: a pandas Series would be looked up by its index.
    listed = {name: list(values) for name, values in columns.items()}
    for name, values in listed.items():
        if len(values) != number:
            raise DataError(f"{name} has {len(values)} values where the other list has {number}.")
    return [{name: values[place] for name, values in listed.items()} for place in range(number)]
