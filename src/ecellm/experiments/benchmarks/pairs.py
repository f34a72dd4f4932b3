"""From a benchmark's labelled pairs of records to PM examples, as `tasks.pm` shows records of a user's own fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecellm.io.hashing import keyed_hash
from ecellm.tasks.pm import TASK, records_text
from ecellm.types import Example, Split, new_example

#: What the raw files call a title.
TITLES = ("title", "name")
Record = Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """Two records and whether they are the same product."""

    split: Split
    left: Record
    """Fields by name, in the file's order."""
    right: Record
    label: bool
    ids: tuple[str, str] | None = None
    """The records' ids, where the files have some; equal records count as one product else."""


def examples(pairs: Iterable[Pair], benchmark: str) -> list[Example]:
    """Return one PM example for each pair, in order; nothing is filtered."""
    return [_example(pair, benchmark) for pair in pairs]


def _example(pair: Pair, benchmark: str) -> Example:
    left, right = shown(pair.left), shown(pair.right)
    text = records_text(left, right)
    ids = pair.ids or tuple(keyed_hash("record", *record.items())[:16] for record in (left, right))
    output, products = "yes" if pair.label else "no", (f"{benchmark}|left|{ids[0]}", f"{benchmark}|right|{ids[1]}")
    return new_example(TASK.name, "IND", pair.split, text, None, output, products=products)


def shown(record: Record) -> dict[str, str | None]:
    """Return a record's fields with the title first, under that name."""
    name = next((name for name in TITLES if name in record), None)
    title = record[name] if name is not None else ""
    return {"title": title, **{field: text for field, text in record.items() if field != name}}
