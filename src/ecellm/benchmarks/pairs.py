"""From a benchmark's labelled pairs of records to PM samples, as `tasks.pm` shows records of a user's own fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecellm.keys import keyed_hash
from ecellm.records import Sample, Split, sample_id
from ecellm.tasks.pm import records_text

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


def samples(pairs: Iterable[Pair], benchmark: str) -> list[Sample]:
    """Return one PM sample for each pair, in order; nothing is filtered."""
    return [_sample(pair, benchmark) for pair in pairs]


def _sample(pair: Pair, benchmark: str) -> Sample:
    left, right = shown(pair.left), shown(pair.right)
    text = records_text(left, right)
    ids = pair.ids or tuple(keyed_hash("record", *record.items())[:16] for record in (left, right))
    return Sample(
        id=sample_id("PM", "IND", text, None),
        task="PM",
        domain="IND",
        split=pair.split,
        input=text,
        options=None,
        output="yes" if pair.label else "no",
        products=(f"{benchmark}|left|{ids[0]}", f"{benchmark}|right|{ids[1]}"),
    )


def shown(record: Record) -> dict[str, str | None]:
    """Return a record's fields with the title first, under that name."""
    name = next((name for name in TITLES if name in record), None)
    title = record[name] if name is not None else ""
    return {"title": title, **{field: text for field, text in record.items() if field != name}}
