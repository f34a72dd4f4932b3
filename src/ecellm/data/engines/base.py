"""The workbench: reads raw files into tables of one engine, rejects bad rows, and notes what was read.

Every line is read as text first, so that one bad line is rejected and counted and the rest go on. What a reader
must do is defined here; `duckdb.py` does it on one machine and `spark.py` on a cluster, with equal rows and rejects.
"""

import errno
import hashlib
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from ecellm.data.convert import Rejection, TableForm, convert
from ecellm.data.manifest import InputFile
from ecellm.data.schema import Engine
from ecellm.errors import DataError
from ecellm.io.files import NO_ROOM
from ecellm.io.tables.header import refuse_other_kind
from ecellm.io.tables.lines import DAMAGED, opened

CHUNK = 1 << 20
#: What is searched for lines at a time: small enough to stay in the processor's cache.
BLOCK = 2 << 20
#: Characters at the end of a bad line by which its number is found.
LAST = 8
#: Up to so many bad lines of a file get their line numbers; finding them takes a pass in Python.
MOST_NUMBERED = 10_000
#: The column that says which file a row came from, for rejects.
FILE = "file"
REPEATED = "product stands there already"
#: The type of a column that keeps its own.
AS_IT_IS = ""

#: Says which rows of a table are bad.
Check = Callable[[ir.Table], ir.BooleanValue]
NO_CHECKS: Mapping[str, Check] = MappingProxyType({})
#: Tables of the Store that a source gives, by name.
Tables = Mapping[str, ir.Table]
NOWHERE: Mapping[Path, Path] = MappingProxyType({})
#: The type of a JSON value: DuckDB's name of it, a list of one type, or an object's types by key.
JsonType = str | list["JsonType"] | dict[str, "JsonType"]
#: The types of the keys that are read of JSON objects.
Structure = Mapping[str, JsonType]


class RejectedRow(TypedDict):
    """A row of a raw file that was rejected."""

    file: str
    """As `InputFile.path`."""
    line: int | None
    """From 1; None where it is not known."""
    reason: str
    excerpt: str | None


@dataclass(frozen=True)
class Part:
    """One file to read, with values that all of its rows share (such as their category)."""

    path: Path
    shared: Mapping[str, str] = field(default_factory=dict)
    converted_from: Path | None = None
    """The raw file, where `path` is a converted copy of it, line by line."""

    @property
    def origin(self) -> Path:
        """The raw file."""
        return self.converted_from or self.path


def pieces(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with each folder that stands for a file replaced by the files in it, as Spark and others
    write them; raises DataError where it holds none."""
    found: list[Part] = []
    for part in parts:
        if not part.path.is_dir():
            found.append(part)
            continue
        files = sorted(path for path in part.path.iterdir() if path.is_file() and path.name[0] not in "._")
        if not files:
            raise DataError(f"The folder {part.path} holds no file.")
        found += [replace(part, path=path) for path in files]
    return found


class Workbench(Engine, ABC):
    """An engine for one build, the files it read, and the rows it rejected."""

    def __init__(self, root: Path, temporary: Path):
        """`root` is the sources folder; what the engine keeps lies in `temporary`."""
        self.root = root
        self.temporary = temporary
        self.inputs: list[InputFile] = []
        self._tables = 0
        self._converted = 0

    def json_lines(
        self,
        parts: Sequence[Part],
        structure: Structure,
        needed: Sequence[str],
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
    ) -> ir.Table:
        """Return the objects of JSON-lines files as a table: the structure's columns (DuckDB types) and the
        parts' shared values.

        Wherever a file is expected, here and below, a folder of that name may hold it in several files. Rejected
        are lines that are no JSON object, hold a value of the wrong type, lack a needed key (or have
        it empty), or meet a check (reason to condition). Where columns are named in `by`, one row per value of
        them is kept: the one whose columns, as JSON, have the smallest md5, whatever the order of the rows.
        Raises DataError where a file is missing, damaged, empty or has no usable line.
        """
        return self._collect(parts, partial(self._json_sql, structure, needed), list(structure), checks, by)

    def csv_lines(self, parts: Sequence[Part], names: Sequence[str], checks: Mapping[str, Check]) -> ir.Table:
        """Return unquoted comma-separated lines without header as text columns, with the parts' shared values;
        lines of another width or that meet a check are rejected. Raises as `json_lines`."""
        return self._collect(parts, partial(self._csv_sql, names), names, checks, ())

    def parquet(
        self,
        path: Path,
        columns: Mapping[str, str],
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
        where: str = "true",
    ) -> ir.Table:
        """Return columns (name to DuckDB type) of a Parquet file, of the rows `where` holds; rows that meet a
        check are rejected, and repeats as in `json_lines`. Raises DataError where the file is missing, no
        Parquet, lacks a column or has it of another type, or has no usable row."""
        select = partial(self._parquet_sql, columns, where)
        return self._collect([Part(path)], select, list(columns), checks, by, numbered=False)

    def table(self, part: Part, form: TableForm, by: Sequence[str] = ()) -> ir.Table:
        """Return the columns of a table file (.csv, .tsv, .jsonl, .ndjson, .json lines or .parquet, text files also
        as .gz), in the Store's types.

        Rows that lack a needed value, have one of another kind or break the file's grammar are rejected, and repeats
        as in `json_lines`. Raises as that, and DataError for another kind of file or where a header lacks a column.
        """
        converted = []
        for piece in pieces([part]):
            self.inspect([piece.path])
            self._converted += 1
            path = self.temporary / f"converted-{self._converted}.parquet"
            convert(piece.path, piece.origin, path, form, partial(self._reject, self.relative(piece.origin)))
            converted.append(replace(piece, path=path, converted_from=piece.origin))
        select = partial(self._parquet_sql, dict.fromkeys(form.columns, AS_IT_IS), "true")
        found = self._collect(converted, select, list(form.columns), NO_CHECKS, by, numbered=False)
        for piece in converted:
            self.discard(piece.path)
        return found

    @abstractmethod
    def _json_sql(self, structure: Structure, needed: Sequence[str], path: Path) -> str:
        """Return the SQL that reads JSON lines: `line`, a column for each key, and `problem`, which is null where the
        row is good."""

    @abstractmethod
    def _csv_sql(self, names: Sequence[str], path: Path) -> str:
        """Return the SQL that reads unquoted lines, as `_json_sql`."""

    @abstractmethod
    def _parquet_sql(self, columns: Mapping[str, str], where: str, path: Path) -> str:
        """Return the SQL that reads a Parquet file, as `_json_sql`; a column's type may be `AS_IT_IS`."""

    @abstractmethod
    def _collect(
        self,
        parts: Sequence[Part],
        select: Callable[[Path], str],
        names: Sequence[str],
        checks: Mapping[str, Check],
        by: Sequence[str],
        numbered: bool = True,
    ) -> ir.Table:
        """Read the parts by the SQL that `select` gives for a file, into one table, and reject the bad rows, with the
        numbers of their lines where rows are lines."""

    @abstractmethod
    def _reject(self, file: str, rejections: Sequence[Rejection]) -> None:
        """Add rows of a file to the rejects."""

    @abstractmethod
    def rejected(self) -> list[RejectedRow]:
        """Return the rejected rows (file, line, reason, excerpt), in that order; line is null where unknown."""

    @abstractmethod
    def again(self, read: Callable[[], Tables]) -> Tables:
        """Read once more what was read and let go: rows that it rejects are rejected already."""

    @abstractmethod
    def stop(self) -> None:
        """Ask what is being computed to end; harmless where nothing is."""

    @abstractmethod
    def shortage(self, error: Exception) -> BaseException | None:
        """Return what the engine's error really is where it is no fault of ours or of a file's: a full disk
        (OSError) or too little memory (DataError). None for any other error."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the engine."""

    def short(self) -> bool:
        """Say whether so much is kept in memory that some of it would be written to disk soon."""
        return False

    def discard(self, path: Path) -> None:
        """Remove a converted file that has been read."""
        path.unlink()

    def relative(self, path: Path) -> str:
        """Return the path below the sources folder, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def inspect(self, paths: Sequence[Path], unpacked: Mapping[Path, Path] = NOWHERE) -> None:
        """Note the files with their hashes; what a gzip file holds is written to where `unpacked` says.

        Raises DataError where one is missing, empty, or a damaged gzip (DuckDB takes some of those silently), and
        OSError where there is no room.
        """
        with ThreadPoolExecutor() as pool:
            for found in pool.map(lambda path: self._inspected(path, unpacked.get(path)), paths):
                if found not in self.inputs:
                    self.inputs.append(found)

    def look(self, parts: Sequence[Part]) -> None:
        """Raise DataError where a part's file is missing or empty, before any is read."""
        for part in pieces(parts):
            _look(part.path)

    def _inspected(self, path: Path, unpacked: Path | None) -> InputFile:
        _look(path)
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if path.suffix == ".gz":
                unpack(path, unpacked or Path(os.devnull))
        except OSError as error:
            if error.errno in NO_ROOM:
                raise full_disk(self.temporary.parent) from error
            raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
        return InputFile(self.relative(path), path.stat().st_size, digest)

    def _name(self) -> str:
        self._tables += 1
        return f"table_{self._tables}"


def _look(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"There is no file {path}: check --sources and the config's categories.")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty. Get the file again.")
    refuse_other_kind(path)


def full_disk(folder: Path) -> OSError:
    """Return the error of a full disk."""
    return OSError(errno.ENOSPC, "No space left on device", str(folder))


def unpack(path: Path, into: Path) -> None:
    """Write what a gzip file holds; raises DataError where it is cut short or damaged."""
    try:
        with opened(path) as file, into.open("wb") as plain:
            while data := file.read(CHUNK):
                plain.write(data)
    except DAMAGED as error:
        raise DataError(f"{path} is damaged or cut short ({error}). Get the file again.") from error


def line_numbers(
    path: Path, marks: Collection[str], hints: Collection[str], count: int, broken: bool
) -> tuple[dict[str, list[int]], list[int]]:
    """Find the numbers, from 1, of the lines with these md5 marks, and, where `broken` ones are expected,
    of those that are not UTF-8.

    Without broken ones the search ends where `count` lines, all that have these marks, were found. A hint is a wanted
    line's length in bytes, a bar, and its last characters (none where they cannot be shown): it saves the md5 of all
    other lines.
    """
    found: dict[str, list[int]] = defaultdict(list)
    undecodable = []
    split = [hint.partition("|") for hint in hints]
    lengths = np.array([int(length) for length, _, end in split if end], dtype=np.int64)
    bare = np.array([int(length) for length, _, end in split if not end], dtype=np.int64)
    last = (end.encode("utf-8", "surrogatepass")[-LAST:] for _, _, end in split)
    endings = np.array([int.from_bytes(end, "big") for end in last], dtype=np.uint64)
    first = 1
    for block in _blocks(path):
        starts, stops = _lines_of(block)
        candidates = np.isin(stops - starts, lengths)
        candidates[candidates] = np.isin(_endings(block, starts[candidates], stops[candidates]), endings)
        candidates |= np.isin(stops - starts, bare)
        for place in np.flatnonzero(candidates).tolist():
            mark = hashlib.md5(block[starts[place] : stops[place]], usedforsecurity=False).hexdigest()
            if mark in marks:
                found[mark].append(first + place)
        if broken and not _decodes(block):
            places = zip(starts.tolist(), stops.tolist(), strict=True)
            undecodable += [first + place for place, (start, stop) in enumerate(places)
                            if not _decodes(block[start:stop])]  # fmt: skip
        first += len(starts)
        if not broken and sum(map(len, found.values())) >= count:
            break
    marked = {number for numbers in found.values() for number in numbers}
    return found, [number for number in undecodable if number not in marked]


def _blocks(path: Path) -> Iterator[bytes]:
    """Give a file's lines, many at a time: one by one takes many times as long."""
    rest = b""
    with opened(path) as file:
        while data := file.read(BLOCK):
            data = rest + data
            cut = data.rfind(b"\n") + 1
            rest = data[cut:]
            yield data[:cut]
    if rest:
        yield rest + b"\n"


def _lines_of(block: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the lines of a block start and stop, without what ends them."""
    signs = np.frombuffer(block, dtype=np.uint8)
    stops = np.flatnonzero(signs == ord("\n"))
    starts = np.concatenate([np.zeros(1, dtype=np.int64), stops + 1])[: len(stops)]
    while (returns := (stops > starts) & (signs[stops - 1] == ord("\r"))).any():
        stops = stops - returns
    return starts, stops


def _endings(block: bytes, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return each line's last `LAST` bytes as a number."""
    signs = np.frombuffer(block, dtype=np.uint8)
    found = np.zeros(len(stops), dtype=np.uint64)
    for place in range(1, LAST + 1):
        there = stops - place >= starts
        found[there] |= signs[stops[there] - place].astype(np.uint64) << np.uint64(8 * (place - 1))
    return found


def _decodes(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def judged(rows: ir.Table, checks: Mapping[str, Check], columns: Sequence[str]) -> ir.Table:
    """Return the line and some columns of rows, with the reason why a row is bad, null where it is good."""
    met = [(check(rows).fill_null(False), ibis.literal(reason)) for reason, check in checks.items()]
    own = ibis.cases(*met) if met else ibis.null("string")
    return rows.select("line", *columns, reason=ibis.coalesce(rows.problem, own))


def no_usable_row(part: Part, why: tuple[str, str | None] | None) -> DataError:
    """Return the error of a part without a good row, given the commonest reason and one such line, if there is any."""
    reason, excerpt = why or ("it is empty", None)
    shown = f"{reason}, as in {excerpt!r}" if excerpt else reason
    return DataError(f"{part.origin} has no usable row ({shown}): is it the right file?")


def either(parts: Iterable[Part]) -> str:
    """Return the names of files of which one is meant."""
    return " or ".join(str(part.origin) for part in parts)
