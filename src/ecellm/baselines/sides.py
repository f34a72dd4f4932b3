"""What a sample compares: two texts (product and product, query and product, question and snippets)."""

import json
import re
from dataclasses import dataclass

from ecellm.records import Sample

#: Set between texts that are joined, so that no word pair spans them.
BREAK = " | "
#: Of a product record: what is read first and last.
FIRST, LAST = ("title", "manufacturer"), ("price", "description")
#: Between the sentences of a review.
SENTENCES = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class Sides:
    """The texts of a sample; `parts` are the pieces of the right side that are compared one by one."""

    left: str
    right: str = ""
    parts: tuple[str, ...] = ()


def sides(sample: Sample) -> Sides:
    """Return the texts that a sample compares; a sample of plain text has a left side only."""
    if sample.task == "SA":
        return Sides(sample.input)
    read = json.loads(sample.input)
    if sample.task == "PM":
        left, right = (read[name] for name in ("product 1", "product 2"))
        return Sides(_record(left), _record(right), (str(right["title"]),))
    if sample.task in ("AP", "AG"):
        snippets = tuple(str(snippet) for snippet in read["document"])
        return Sides(str(read["question"]), BREAK.join(snippets), snippets)
    left, right = (str(value) for value in read.values())
    return Sides(left, right, (right,))


def pieces(sample: Sample) -> tuple[str, ...]:
    """Return what is worth reading by itself: AP's snippets, of which one may answer, and SA's sentences, of which
    each has its tone; at least one. Other tasks have nothing such."""
    if sample.task == "SA":
        return tuple(piece for piece in SENTENCES.split(sample.input) if piece.strip()) or (sample.input,)
    return (sides(sample).parts or ("",)) if sample.task == "AP" else ()


def ranked_sides(sample: Sample) -> list[Sides]:
    """Return query and title for each product of a QPR list, in order of the letters."""
    read = json.loads(sample.input)
    titles = [re.sub(r"^[A-Z]: ", "", str(title)) for title in read["product list"]]
    return [Sides(str(read["query"]), title, (title,)) for title in titles]


def counted_sides(sample: Sample) -> Sides:
    """Return the same for a model that counts words: the titles of PM's records stand twice, for they say most."""
    found = sides(sample)
    if sample.task != "PM":
        return found
    (title,) = found.parts
    left = str(json.loads(sample.input)["product 1"]["title"])
    return Sides(f"{left}{BREAK}{found.left}", f"{title}{BREAK}{found.right}", found.parts)


def _record(record: dict[str, object]) -> str:
    """Return a product record as one text, what says most first: fields that are not the published ones stand in the
    middle."""
    others = [name for name in record if name not in (*FIRST, *LAST)]
    return BREAK.join(str(record[name]) for name in (*FIRST, *others, *LAST) if name in record)
