"""Taking published input texts apart into pieces that may be cut, shared by the task files."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ecellm.records import Sample
from ecellm.tasks.task import Piece, Pieces

Path = tuple[str | int, ...]

#: Before each text of a list.
LETTER = re.compile(r"^[A-Z]: ")


@dataclass(frozen=True)
class Cut:
    """How one value of a JSON text may be cut; see `Piece` for rank, how and mark."""

    rank: int | None = None
    how: Literal["drop", "end"] = "end"
    mark: str | None = None
    label: bool = False
    """The text begins with "A: ": the letter is marked with itself and, with its colon, never cut."""


Rule = Callable[[Path, str], Cut | None]


def whole(text: str) -> tuple[Piece, ...]:
    """Return a text as one piece that is cut at its end: for plain texts, and where the form is unknown."""
    return (Piece(text, rank=1, how="end"),)


def json_pieces(text: str, rule: Rule) -> tuple[Piece, ...]:
    """Return the pieces of a JSON text; `rule(path, value)` says how a string value may be cut.

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


def texts_under(*keys: str) -> Callable[[Sample], tuple[str, ...]]:
    """Return a function that gives the texts under these keys of a sample's JSON input, without the letters of
    lists; none where the input is in no known form."""

    def found(value: Any, wanted: bool) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from found(item, wanted or key in keys)
        elif isinstance(value, list):
            for item in value:
                yield from found(item, wanted)
        elif wanted and isinstance(value, str):
            yield LETTER.sub("", value)

    def texts(sample: Sample) -> tuple[str, ...]:
        try:
            return tuple(found(json.loads(sample.input), wanted=False))
        except (ValueError, RecursionError):
            return ()

    return texts


def labelled(text: str, quote: str, rank: int | None, of: str | None = None) -> list[Piece]:
    """Return the pieces of one quoted option, such as "A: blue mug": the letter is marked, the text cut."""
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
    return json_pieces(options, lambda path, value: Cut(rank=rank, label=True))


def input_and_options(sample: Sample, rule: Rule, option_rank: int = 9) -> Pieces:
    """Return the pieces of a sample with a JSON input and a JSON list of options (or none)."""
    return Pieces(json_pieces(sample.input, rule), option_pieces(sample.options, option_rank))


def _walk(value: Any, path: Path, rule: Rule) -> list[Piece]:
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
    cut = rule(path, value) if isinstance(value, str) else None
    text = json.dumps(value)
    if cut is None:
        return [Piece(text)]
    if cut.label:
        return labelled(text[1:-1], '"', cut.rank, _text_of(path))
    assert cut.how == "end", "only list items are dropped"
    body = Piece(text[1:-1], rank=cut.rank, how="end", mark=cut.mark, of=_text_of(path))
    return [Piece('"'), body, Piece('"')]


def _text_of(path: Path) -> str | None:
    """Return the key that a value stands under; None in a list of options."""
    return path[0] if isinstance(path[0], str) else None


def _item(item: Any, path: Path, rule: Rule, comma: str) -> list[Piece]:
    cut = rule(path, item) if isinstance(item, str) else None
    if cut is not None and cut.how == "drop" and not cut.label:
        return [Piece(comma + json.dumps(item), rank=cut.rank, how="drop", mark=cut.mark, of=_text_of(path))]
    return [Piece(comma), *_walk(item, path, rule)] if comma else _walk(item, path, rule)


def _merged(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Join neighbours that are never cut and not marked, and leave out empty ones."""
    merged: list[Piece] = []
    for piece in pieces:
        plain = piece.rank is None and piece.mark is None
        if plain and merged and merged[-1].rank is None and merged[-1].mark is None:
            merged[-1] = Piece(merged[-1].text + piece.text)
        elif piece.text:
            merged.append(piece)
    return tuple(merged)
