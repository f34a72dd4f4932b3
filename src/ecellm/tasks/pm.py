"""PM, product matching: are two product records of two catalogues the same product?

Source: Amazon-Google Products (Leipzig); every listed match is a yes, as many random pairs are a no. Labelled pairs
of the user's own are taken as they are instead, near misses included.

    input    {"product 1": {"title": "clickart 950 000 - premier image pack (dvd-rom)", "description": NaN,
             "manufacturer": "broderbund", "price": "0.0"}, "product 2": {"title": ...}}
    output   yes
    metric   F1 of yes

Records of the user's own may show other fields (`checked_fields`), such as a model number. A record then has the
fields that were named, in that order, without those that it has no value of; `brand` is shown as manufacturer.

    input    {"product 1": {"title": "hp 56 black ink", "manufacturer": "hp", "modelno": "c6656an"}, "product 2": ...}
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ecellm.errors import DataError
from ecellm.tasks.answers import YesNo, input_part
from ecellm.tasks.input_parsing import Path, Truncation, pieces_by, texts_under
from ecellm.tasks.task import Column, Form, Given, Task
from ecellm.tasks.text_pairs import BREAK, TextPair
from ecellm.types import Example

MAX_WORDS = 50
RECORD = ("title", "description", "brand", "price")
#: The fields that are shown under another name.
SHOWN_AS = {"brand": "manufacturer"}
#: The fields that are not truncated first: those of rank None never are.
RANKS: Mapping[str, int | None] = {"title": 2, "manufacturer": None, "price": None}
#: Of a record that is read as one text.
READ_FIRST, READ_LAST = ("title", "manufacturer"), ("price", "description")
FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def write(given: Given) -> tuple[str, None]:
    """Return two records as the published rows show them."""
    return json.dumps({f"product {number}": _shown(given, number) for number in (1, 2)}), None


def _shown(given: Given, number: int) -> dict[str, object]:
    """Return one record: no description is NaN, no maker is "nan"."""
    return {
        "title": given[f"title_{number}"],
        "description": _short(given[f"description_{number}"]),
        "manufacturer": given[f"brand_{number}"] or "nan",
        "price": given[f"price_{number}"] or "nan",
    }


def checked_fields(names: Sequence[str]) -> tuple[str, ...]:
    """Return the fields of records as a user names them; raises DataError with one sentence for what cannot be."""
    for name in names:
        if not FIELD.fullmatch(name):
            raise DataError(f"{name!r} is no field's name: it should be of letters, digits and _, a letter first.")
    shown = [SHOWN_AS.get(name, name) for name in names]
    twice = [name for name in shown if shown.count(name) > 1]
    if twice:
        raise DataError(f"The fields name {twice[0]} twice.")
    if "title" not in names:
        raise DataError("The fields should be all that a record shows, title among them.")
    return tuple(names)


def records_text(first: Mapping[str, str | None], second: Mapping[str, str | None]) -> str:
    """Return two records of the user's own fields as a text; fields other than the title without a value are
    omitted."""
    records = {f"product {number}": _listed(record) for number, record in ((1, first), (2, second))}
    return json.dumps(records)


def _listed(record: Mapping[str, str | None]) -> dict[str, object]:
    there = {name: text for name, text in record.items() if name == "title" or (text and text.strip())}
    return {
        SHOWN_AS.get(name, name): _short(text) if name == "description" else text or ""
        for name, text in there.items()
    }


def _form(names: Sequence[str] = RECORD, own: bool = False) -> Form:
    """Return the columns of a question on two records of these fields; `own` where a user chose them."""

    def write_own(given: Given) -> tuple[str, None]:
        return records_text(*({name: given[f"{name}_{number}"] for name in names} for number in (1, 2))), None

    columns = [
        Column(f"{name}_{number}", f"{name} of product {number}", needed=name == "title")
        for number in (1, 2)
        for name in names
    ]
    return Form(
        tuple(columns),
        write_own if own else write,
        fields=tuple(names) if own else None,
        of_fields=lambda chosen: _form(checked_fields(chosen), own=True),
    )


def _short(description: str | None) -> str | float:
    if not description:
        return math.nan
    words = description.split(" ")
    if len(words) <= MAX_WORDS:
        return description
    return " ".join(words[:MAX_WORDS]).strip(".") + "..."


def exchanged(example: Example) -> Example:
    """Return the row with its records in the other order: being the same product is symmetric. A row of another form
    stays as it is."""
    try:
        first, second = _records(example)
    except DataError:
        return example
    return replace(example, input=json.dumps({"product 1": second, "product 2": first}))


def compared(example: Example) -> list[TextPair]:
    """Return the two records as texts; their titles say most."""
    left, right = _records(example)
    heads = str(left["title"]), str(right["title"])
    return [TextPair(_joined(left), _joined(right), heads[1:], heads)]


def _records(example: Example) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return the two records; raises DataError where the input has another form."""
    records = []
    for name in ("product 1", "product 2"):
        record = input_part(example, name)
        if not isinstance(record, dict) or "title" not in record:
            raise DataError(
                f"The input of {example.id} has no record with a title under {name!r}: it is not in the form of "
                f"{example.task}."
            )
        records.append(record)
    return records[0], records[1]


def _joined(record: Mapping[str, object]) -> str:
    """Return a product record as one text, what says most first: fields that are not the published ones stand in the
    middle."""
    others = [name for name in record if name not in (*READ_FIRST, *READ_LAST)]
    return BREAK.join(str(record[name]) for name in (*READ_FIRST, *others, *READ_LAST) if name in record)


def truncation(path: Path, value: str) -> Truncation | None:
    """Truncate the descriptions first, evenly, with fields that are not the published ones, then the two titles."""
    rank = RANKS.get(str(path[-1]), 1)
    return None if rank is None else Truncation(rank=rank)


TASK = Task(
    name="PM",
    title="Product_Matching",
    instructions=(
        "Two product records come from two catalogues. Do they describe the same product? Say yes or no.",
        "Read both product entries and decide if they are one and the same item. Reply with yes or no.",
        "A shop merges its list with another shop's. Tell whether these two entries match: yes or no.",
        "Compare title, description, maker and price of the two products, then answer yes if they are the "
        "same product and no if they are not.",
        "Would a buyer of product 1 receive the very same item as a buyer of product 2? Answer yes or no.",
        "Check the two listings for identity: output yes for the same item, no for different items.",
    ),
    answer=YesNo(),
    metric="f1",
    out_of_domain=False,
    pieces=pieces_by(truncation),
    form=_form(),
    texts=texts_under("title"),
    exchanged=exchanged,
    compared=compared,
    verb="match",
    sample_rows=(
        {"title_1": "Acorn Photo Studio 7 (DVD)", "title_2": "acorn photo studio 7.0", "price_1": "49.99"},
        {"title_1": "Typing tutor, family edition", "title_2": "Typing tutor, school edition for ten seats"},
    ),
)
