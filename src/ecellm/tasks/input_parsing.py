"""Parsing published input texts into pieces that may be truncated, shared by the task files."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ecellm.tasks.task import Piece, Pieces
from ecellm.types import Example

Path = tuple[str | int, ...]

#: Before each text of a list.
LETTER = re.compile(r"^[A-Z]: ")
#: All options are shortened evenly, at this rank.
OPTION_RANK = 9


@dataclass(frozen=True)
class Truncation:
    """How one value of a JSON text may be truncated; see `Piece` for rank, how and mark."""

    rank: int | None = None
    how: Literal["drop", "end"] = "end"
    mark: str | None = None
    label: bool = False
    """The text begins with "A: ": the letter is marked with itself and, with its colon, never truncated."""


Rule = Callable[[Path, str], Truncation | None]


def whole(text: str) -> tuple[Piece, ...]:
    """Return a text as one piece that is truncated at its end: for plain texts, and where the form is unknown."""
    return (Piece(text, rank=1, how="end"),)


def json_pieces(text: str, rule: Rule) -> tuple[Piece, ...]:
    """Return the pieces of a JSON text; `rule(path, value)` says how a string value may be truncated.

    A value that is dropped takes the comma before it along, so drop list items from the last one on and
    never the first. Paths have at least one step: a text that is not a JSON list or object in Python's default
    layout becomes one piece.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return whole(text)
    if not isinstance(value, dict | list):
        return whole(text)
    pieces = _merged(_walk(value, (), rule))
    return pieces if "".join(piece.text for piece in pieces) == text else whole(text)


def texts_under(*keys: str) -> Callable[[Example], tuple[str, ...]]:
    """Return a function that gives the texts under these keys of an example's JSON input, without the letters of
    lists; none where the input is in no known form."""

    def found(value: object, wanted: bool) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from found(item, wanted or key in keys)
        elif isinstance(value, list):
            for item in value:
                yield from found(item, wanted)
        elif wanted and isinstance(value, str):
            yield LETTER.sub("", value)

    def texts(example: Example) -> tuple[str, ...]:
        try:
            return tuple(found(json.loads(example.input), wanted=False))
        except (ValueError, RecursionError):
            return ()

    return texts


def words(text: str) -> set[str]:
    """Return the distinct words of a text, whatever their case."""
    return set(re.findall(r"\w+", text.casefold()))


def labelled(text: str, quote: str, rank: int | None, of: str | None = None) -> list[Piece]:
    """Return the pieces of one quoted option, such as "A: blue mug": the letter is marked, the text truncatable."""
    letter, colon, body = text[:1], text[1:3], text[3:]
    if not (letter.isupper() and colon == ": "):
        return [Piece(quote), Piece(text, rank=rank, how="end"), Piece(quote)]
    return [
        Piece(quote),
        Piece(letter, mark=letter),
        Piece(colon),
        Piece(body, rank=rank, how="end", of=of),
        Piece(quote),
    ]


def option_pieces(options: str | None, rank: int) -> tuple[Piece, ...]:
    """Return the pieces of a JSON list of labelled options: all bodies are shortened evenly at `rank`."""
    if options is None:
        return ()
    return json_pieces(options, lambda path, value: Truncation(rank=rank, label=True))


def pieces_by(rule: Rule) -> Callable[[Example], Pieces]:
    """Return a function that gives the pieces of examples with a JSON input and a JSON list of options (or none)."""
    return lambda example: Pieces(json_pieces(example.input, rule), option_pieces(example.options, OPTION_RANK))


def _walk(value: object, path: Path, rule: Rule) -> list[Piece]:
    if isinstance(value, dict):
        pieces = [Piece("{")]
        for place, (key, item) in enumerate(value.items()):
            pieces.append(Piece(("" if place == 0 else ", ") + json.dumps(key) + ": "))
            pieces += _walk(item, (*path, key), rule)
        return [*pieces, Piece("}")]
    if isinstance(value, list):
        pieces = [Piece("[")]
        for place, item in enumerate(value):
            pieces += _item(item, (*path, place), rule, "" if place == 0 else ", ")
        return [*pieces, Piece("]")]
    truncation = rule(path, value) if isinstance(value, str) else None
    text = json.dumps(value)
    if truncation is None:
        return [Piece(text)]
    if truncation.label:
        return labelled(text[1:-1], '"', truncation.rank, _text_of(path))
    assert truncation.how == "end", "only list items are dropped"
    body = Piece(text[1:-1], rank=truncation.rank, how="end", mark=truncation.mark, of=_text_of(path))
    return [Piece('"'), body, Piece('"')]


def _text_of(path: Path) -> str | None:
    """Return the key that a value stands under; None in a list of options."""
    return path[0] if isinstance(path[0], str) else None


def _item(item: object, path: Path, rule: Rule, comma: str) -> list[Piece]:
    truncation = rule(path, item) if isinstance(item, str) else None
    if truncation is not None and truncation.how == "drop" and not truncation.label:
        return [
            Piece(comma + json.dumps(item), rank=truncation.rank, how="drop", mark=truncation.mark, of=_text_of(path))
        ]
    return [Piece(comma), *_walk(item, path, rule)] if comma else _walk(item, path, rule)


def _merged(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Join neighbours that are never truncated and not marked, and drop empty ones."""
    merged: list[Piece] = []
    for piece in pieces:
        plain = piece.rank is None and piece.mark is None
        if plain and merged and merged[-1].rank is None and merged[-1].mark is None:
            merged[-1] = Piece(merged[-1].text + piece.text)
        elif piece.text:
            merged.append(piece)
    return tuple(merged)
