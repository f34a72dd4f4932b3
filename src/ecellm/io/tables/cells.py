"""What a column of the user's own may hold, and how a cell of text, JSON or Parquet becomes that value.

A cell is a text, a list or object (of JSON or Parquet), a time, or None. What is not of a kind is `WRONG`, which
rejects the row; nothing, NaN, or an empty text, is None.
"""

import json
import math
import re
import time as clock
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

#: Stands for a value that is not of the column's kind.
WRONG: Final = object()
TRUE, FALSE = frozenset({"true", "t", "yes", "y", "1", "1.0"}), frozenset({"false", "f", "no", "n", "0", "0.0"})
STARS = range(1, 6)
LEAST, MOST = -(1 << 63), (1 << 63) - 1
#: The first plausible time of a shop's data, 1990-01-01, and a day, in seconds.
FIRST_TIME, DAY = 631_152_000, 86_400
INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
#: A date with, perhaps, a time and a zone, in more ways than ISO 8601 has.
MOMENT = re.compile(
    r"\s*(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:(?:[T ]\s*)(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?\s*",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class CellKind:
    """One kind of column."""

    arrow: pa.DataType
    of: Callable[[object], object]
    """Returns the value of a cell that is there: of the kind, None for an empty text, or `WRONG`."""
    cast: bool = False
    """Whether Arrow's own cast of texts gives the same values, where it gives any."""
    tells: bool = False
    """Whether few texts are of the kind, so that one that is says that it is a cell of this column."""
    bounds: Callable[[], tuple[int, int]] | None = None
    """Returns the least and the greatest value for which Arrow's cast holds; None for any."""
    fault: str = "has the wrong type"
    """What is wrong with a column's cell that is not of the kind."""


def text_of(cell: object) -> str | None:
    """Return a cell as text, None where it is none: a list, an object, NaN, or bytes that are not UTF-8."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if _is_nan(cell):
        return None
    if isinstance(cell, int | float | Decimal | date | datetime | time):
        return str(cell)
    if isinstance(cell, bytes):
        try:
            return cell.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return None


def _is_nan(cell: object) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def _text(cell: object) -> object:
    found = text_of(cell)
    if found is None:
        return WRONG
    return (found if is_whole_text(found) else WRONG) if found else None


def is_whole_text(text: str) -> bool:
    """Say whether a text can be written: JSON may hold half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _by_text(parse: Callable[[str], object]) -> Callable[[object], object]:
    """Return the parser of cells, given that of texts that are not empty. Few values of such a kind are different."""
    parsed = lru_cache(maxsize=1 << 10)(parse)

    def of(cell: object) -> object:
        text = cell if isinstance(cell, str) else text_of(cell)
        if text is None:
            return WRONG
        return parsed(text) if text else None

    return of


def _number(text: str) -> object:
    """Return a whole number, rounded where the text is a fraction."""
    try:
        found = int(text) if INTEGER.fullmatch(text) else round(float("" if "_" in text else text))
    except (ValueError, OverflowError):
        return WRONG
    return found if LEAST <= found <= MOST else WRONG


def _stars(text: str) -> object:
    try:
        found = float("" if "_" in text else text)
    except ValueError:
        return WRONG
    return int(found) if found in STARS else WRONG


def _truth(text: str) -> object:
    word = text.strip(" ").lower()
    return True if word in TRUE else False if word in FALSE else WRONG


def plausible_times() -> tuple[int, int]:
    """Return the first and the last second of times that can be meant: from 1990 to the end of tomorrow, anywhere."""
    return FIRST_TIME, int(clock.time()) + 2 * DAY


def _time(text: str) -> object:
    """Return seconds since 1970 of a number of seconds or milliseconds, or a date; a time without a zone is UTC."""
    found = _number(text)
    if isinstance(found, int):
        return _plausible(found // 1000 if found >= FIRST_TIME * 1000 else found)
    parts = MOMENT.fullmatch(text)
    if parts is None:
        return WRONG
    year, month, day, hour, minute, second, zone = parts.groups()
    zone = "+00:00" if (zone or "Z").upper() in ("Z", "UTC") else zone
    moment = f"{(hour or '0').zfill(2)}:{minute or '00'}:{second or '00'}"
    try:
        return _moment(datetime.fromisoformat(f"{year}-{month.zfill(2)}-{day.zfill(2)}T{moment}{zone}"))
    except ValueError:
        return WRONG


def _moment(cell: object) -> object:
    if isinstance(cell, datetime):
        return _plausible(round((cell if cell.tzinfo else cell.replace(tzinfo=UTC)).timestamp()))
    return _TIME(cell)


def _plausible(seconds: int) -> object:
    first, last = plausible_times()
    return seconds if first <= seconds <= last else WRONG


_TIME = _by_text(_time)


def list_of(cell: object) -> list[object] | None:
    """Return a cell that is a list, or a text (or its bytes) of a JSON list; None for any other."""
    cell = text_of(cell) if isinstance(cell, bytes) else cell
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            return None
    return cell if isinstance(cell, list) else None


def _texts(cell: object) -> object:
    """Return a list of texts; a text that is no JSON list is one."""
    many = list_of(cell)
    if many is None:
        one = _text(cell)
        return [one] if isinstance(one, str) else one
    found = [text_of(each) for each in many]
    return WRONG if any(each is None or not is_whole_text(each) for each in found) else found


def _answers(cell: object) -> object:
    """Return answers with their votes, which may be unknown: of a list of texts or objects, or of one text."""
    many = list_of(cell)
    if many is None:
        one = _text(cell)
        return [{"text": one, "helpful": None}] if isinstance(one, str) else one
    found = []
    for each in many:
        text, votes = (each.get("text"), each.get("helpful")) if isinstance(each, dict) else (each, None)
        text, votes = text_of(text), None if votes is None else _NUMBER(votes)
        if text is None or not is_whole_text(text) or votes is WRONG:
            return WRONG
        found.append({"text": text, "helpful": votes})
    return found


_NUMBER = _by_text(_number)
_ANSWER = pa.struct([("text", pa.string()), ("helpful", pa.int64())])

KINDS: Mapping[str, CellKind] = {
    "text": CellKind(pa.string(), _text, cast=True),
    "stars": CellKind(pa.int8(), _by_text(_stars), tells=True),
    "number": CellKind(pa.int64(), _NUMBER, cast=True, tells=True),
    "time": CellKind(
        pa.int64(),
        _moment,
        cast=True,
        tells=True,
        bounds=plausible_times,
        fault="is no date or time from 1990 to tomorrow",
    ),
    "truth": CellKind(pa.bool_(), _by_text(_truth), tells=True),
    "texts": CellKind(pa.list_(pa.string()), _texts),
    "answers": CellKind(pa.list_(_ANSWER), _answers),
}


def values_of(kind: CellKind, cells: Sequence[object]) -> tuple[pa.Array, list[int]]:
    """Return cells as values of a kind, null where there is none, and the places of those that are wrong."""
    if kind.cast and set(map(type, cells)) <= {str, NoneType}:
        with suppress(UnicodeEncodeError, pa.ArrowInvalid):
            texts = pa.array(cells, pa.string())
            texts = pc.if_else(pc.equal(texts, ""), None, texts)
            if kind.arrow == pa.string() or _are_digits(texts):
                found = texts.cast(kind.arrow)
                if kind.bounds is None or _within(found, *kind.bounds()):
                    return found, []
    values = [None if cell is None or _is_nan(cell) else kind.of(cell) for cell in cells]
    wrong = [place for place, value in enumerate(values) if value is WRONG] if WRONG in values else []
    for place in wrong:
        values[place] = None
    return pa.array(values, kind.arrow), wrong


def _are_digits(texts: pa.Array) -> bool:
    """Say whether all texts are digits after, perhaps, a minus: Arrow also takes 0x10, which is no number here."""
    return pc.all(pc.match_substring_regex(texts, r"^-?[0-9]+$")).as_py() is not False


def _within(values: pa.Array, least: int, greatest: int) -> bool:
    found = pc.min_max(values)
    return found["min"].as_py() is None or (found["min"].as_py() >= least and found["max"].as_py() <= greatest)
