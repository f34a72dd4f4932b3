"""The workbench: reads raw files into tables of one engine, rejects bad rows, and notes what was read.

Every line is read as text first, so that one bad line is rejected and counted and the rest go on. What a reader
must do is defined here; `duckdb.py` does it on one machine and `spark.py` on a cluster, with equal rows and rejects.
"""

import errno
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.data.convert import Rejection, TableForm, convert
from ecellm.data.manifest import InputFile
from ecellm.data.schema import Engine
from ecellm.errors import DataError
from ecellm.io.files import NO_ROOM, check_is_file
from ecellm.io.tables.header import places, refuse_other_kind
from ecellm.io.tables.lines import DAMAGED, damaged, opened

CHUNK = 1 << 20
#: Up to so many bad lines of a file get their line numbers; finding them takes a pass in Python.
MOST_NUMBERED = 10_000
#: The column that says which file a row came from, for rejects.
FILE = "file"
REPEATED = "product stands there already"
#: The type of a column that keeps its own.
AS_IT_IS = ""

#: DuckDB's types of columns as kinds of cells.
CELLS = {"VARCHAR": "text", "BIGINT": "number"}

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
        check, or hold a list, an object or bytes that are no text, are rejected, and repeats as in `json_lines`.
        Raises DataError where the file is missing, no Parquet, lacks a column, or has no usable row."""
        select = partial(self._parquet_sql, columns, where)
        self.look([Part(path)])
        if all(_holds(piece.path, columns) for piece in pieces([Part(path)])):
            return self._collect([Part(path)], select, list(columns), checks, by, numbered=False)
        form = TableForm({name: (name, CELLS[kind]) for name, kind in columns.items()}, [])
        return self._converted_table(Part(path), form, select, checks, by)

    def table(self, part: Part, form: TableForm, by: Sequence[str] = ()) -> ir.Table:
        """Return the columns of a table file (.csv, .tsv, .jsonl, .ndjson, .json lines or .parquet, text files also
        as .gz), in the Store's types.

        Rows that lack a needed value, have one of another kind or break the file's grammar are rejected, and repeats
        as in `json_lines`. Raises as that, and DataError for another kind of file or where a header lacks a column.
        """
        select = partial(self._parquet_sql, dict.fromkeys(form.columns, AS_IT_IS), "true")
        return self._converted_table(part, form, select, NO_CHECKS, by)

    def _converted_table(
        self,
        part: Part,
        form: TableForm,
        select: Callable[[Path], str],
        checks: Mapping[str, Check],
        by: Sequence[str],
    ) -> ir.Table:
        """Convert a file row by row and return its columns by the SQL that `select` gives for what was written."""
        converted = []
        for piece in pieces([part]):
            self.inspect([piece.path])
            self._converted += 1
            path = self.temporary / f"converted-{self._converted}.parquet"
            convert(piece.path, piece.origin, path, form, partial(self._reject, self.relative(piece.origin)))
            converted.append(replace(piece, path=path, converted_from=piece.origin))
        found = self._collect(converted, select, list(form.columns), checks, by, numbered=False)
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
    check_is_file(path, "check --sources and the config's categories")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty. Get the file again.")
    refuse_other_kind(path)


def _holds(path: Path, columns: Mapping[str, str]) -> bool:
    """Say whether a Parquet file has texts and whole numbers where columns (name to DuckDB type) should, so that an
    engine's own cast gives them; raises DataError where it has no such column."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path} cannot be read: {first}. Get the file again.") from error
    places(path, schema.names, list(columns))
    kinds = {name: schema.field(name).type for name in columns}
    return all(
        pa.types.is_signed_integer(kind) or (columns[name] == "VARCHAR" and pa.types.is_string(kind))
        for name, kind in kinds.items()
    )


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
        raise damaged(path, error) from error


def judged(rows: ir.Table, checks: Mapping[str, Check], columns: Sequence[str]) -> ir.Table:
    """Return the line and some columns of rows, with the reason why a row is bad, null where it is good."""
    met = [(check(rows).fill_null(False), ibis.literal(reason)) for reason, check in checks.items()]
    own = ibis.cases(*met) if met else ibis.null("string")
    return rows.select("line", *columns, reason=ibis.coalesce(rows.problem, own))


def no_usable_row(part: Part, why: tuple[str, str | None] | None) -> DataError:
    """Return the error of a part without a good row, given the commonest reason and one such line, if any."""
    reason, excerpt = why or ("it is empty", None)
    shown = f"{reason}, as in {excerpt!r}" if excerpt else reason
    return DataError(f"{part.origin} has no usable row ({shown}): is it the right file?")


def either(parts: Iterable[Part]) -> str:
    """Return the names of files of which one is meant."""
    return " or ".join(str(part.origin) for part in parts)
