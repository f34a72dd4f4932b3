"""The items of a JSON array, or one object after the other, read one by one; what is wrong where they end early."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, cast

# The faster ones write "?" for half of a surrogate pair, which is then neither kept nor rejected.
import ijson.backends.python as ijson  # type: ignore[import-untyped]
from isal import igzip

from ecellm.errors import DataError
from ecellm.io.tables.lines import BLOCK, DAMAGED, damaged, opened

EXCERPT = 200
#: Lists and objects within each other: more than this, and JSON cannot be written again.
MOST_NESTED = 1_000
STARTS, ENDS = ("start_map", "start_array"), ("end_map", "end_array")
#: What is looked at to see whether a file is an array.
START = 64
SYMBOL = re.compile(r"Unexpected symbol '(.*)' at (\d+)", re.DOTALL)
#: What Python and JavaScript write and JSON does not know.
NO_JSON = re.compile(r"NaN|-?Infinity|None|True|False|undefined")
NUMBER = re.compile(r"[+-]?[0-9][0-9.eE+-]*")


class JsonObject(dict[str, object]):
    """An object that knows whether a key was given more than once."""

    twice = ""
    """The first such key."""

    def __setitem__(self, key: str, value: object) -> None:
        """Take a value in; the last of a key stays."""
        if key in self:
            self.twice = self.twice or key
        super().__setitem__(key, value)


class TooDeep:
    """Stands for a row that is nested too deeply to be read."""


def json_rows(path: Path, follow: Callable[[BinaryIO], BinaryIO]) -> Iterator[object]:
    """Yield the items of arrays, or the values one after the other (JSON lines); objects are `JsonObject`, and what
    is nested too deeply is `TooDeep`.

    `follow` may wrap the open file, compressed as it is, to show how far reading is. Raises DataError with the cause
    where the file is damaged or is not JSON to its end.
    """
    _check_compressed(path)
    try:
        with path.open("rb") as raw, _unpacked(path, follow(raw)) as file:
            start = file.read(START)
            whole = start.removeprefix(BOM_UTF8)
            file.seek(len(start) - len(whole))
            events = ijson.basic_parse(file, multiple_values=True, use_float=True)
            yield from _rows(events, whole.lstrip().startswith(b"["))
    except (ijson.common.JSONError, ValueError, RecursionError) as error:
        raise DataError(f"{path} {_fault(path, error)}.") from error


def _rows(events: Iterable[tuple[str, object]], arrays: bool) -> Iterator[object]:
    """Yield the values that events make up; of arrays at the top, where `arrays`, their items.

    The time is linear in the number of events however deep they are: ijson's own items name the path of each.
    """
    depth = base = 0
    builder, deep = None, False
    for event, value in events:
        if event in ENDS:
            depth -= 1
        if builder is None:
            if event in ENDS:
                base = 0
            elif arrays and depth == 0 and event == "start_array":
                base = depth = 1
            elif event in STARTS:
                builder, deep = ijson.common.ObjectBuilder(map_type=JsonObject), False
                builder.event(event, value)
                depth += 1
            else:
                yield value
        elif event in ENDS and depth == base:
            yield TooDeep() if deep else builder.value
            builder = None
        else:
            deep = deep or depth - base >= MOST_NESTED
            if not deep:
                builder.event(event, value)
            depth += event in STARTS


def _check_compressed(path: Path) -> None:
    """Raise DataError where a compressed file is damaged. Beforehand: within the parser the cause would be hidden."""
    try:
        with opened(path) as file:
            while path.suffix == ".gz" and file.read(BLOCK):
                pass
    except DAMAGED as error:
        raise damaged(path, error) from error


def _unpacked(path: Path, file: BinaryIO) -> AbstractContextManager[BinaryIO]:
    if path.suffix == ".gz":
        return cast(BinaryIO, igzip.IGzipFile(fileobj=file))  # type: ignore[no-untyped-call]
    return file


def _fault(path: Path, error: Exception) -> str:
    """Say what is wrong with a file, and what to do."""
    text = str(error)
    if found := SYMBOL.fullmatch(text):
        line, there = _place(path, int(found[2]))
        if word := NO_JSON.match(there):
            instead = word[0].lower() if word[0] in ("True", "False") else "null"
            return f"has {word[0]} in line {line}, which is no JSON: write {instead} there"
        if NUMBER.fullmatch(found[1]):
            return f"has a number in line {line} that is too large ({there[:40]}...): write it as a text"
        return f"is not valid JSON (line {line}, at {there!r}): fetch or export it again"
    cause = error.args[0] if error.args else None
    if isinstance(cause, UnicodeDecodeError) and cause.reason != "unexpected end of data":
        return "is not in UTF-8: save it as UTF-8"
    reason = (text.splitlines() or [type(error).__name__])[0].strip()[:EXCERPT]
    what = "a whole" if isinstance(error, ijson.common.IncompleteJSONError | RecursionError) else "a valid"
    return f"is not {what} JSON file ({reason}): fetch or export it again"


def _place(path: Path, place: int) -> tuple[int, str]:
    """Return the line, from 1, of a place that is counted in characters, and some of what stands there."""
    line = 1
    with TextIOWrapper(opened(path), encoding="utf-8-sig", errors="replace", newline="") as file:
        while place > 0 and (text := file.read(min(place, BLOCK))):
            place -= len(text)
            line += text.count("\n")
        return line, file.read(EXCERPT // 4)
