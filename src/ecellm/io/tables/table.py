"""A user's table, read and written in chunks: CSV, TSV, JSON lines or Parquet, inferred from the file extension.

A row that cannot be read is returned with the reason. The written table has the rows and columns of the one read, in
order, except for the rows that the caller drops, and new columns at its end.
"""

import csv
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.errors import DataError
from ecellm.io.files import atomic_write

#: Rows read and answered at a time.
CHUNK = 4096
#: Characters.
LONGEST_CELL = 2**31 - 1
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    number: int
    """From 1, the header not counted."""
    values: Mapping[str, object]
    fault: str = ""
    """Why it cannot be read."""


#: What the rows of a chunk get: new values by column, or None to drop the row.
Added = Sequence[Mapping[str, object] | None]


class Table(Protocol):
    """A table of one format."""

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time."""

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows with new columns; `added` gives the values chunk by chunk."""


class CsvTable:
    """Cells are texts; a row has a cell for each column of the header."""

    def __init__(self, path: Path, divider: str):
        self.path = path
        self.divider = divider
        csv.field_size_limit(LONGEST_CELL)
        try:
            self.header = next(self._lines())
        except StopIteration as error:
            raise DataError(f"{path} is empty: its first line should name the columns.") from error
        _check_names(path, self.header)

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time."""
        width = len(self.header)
        for cells in _by_chunks(self._body()):
            rows = []
            for number, row in cells:
                fault = "" if len(row) == width else f"the row has {len(row)} cells, the header {width}."
                rows.append(Row(number, dict(zip(self.header, row, strict=False)), fault))
            yield rows

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows; lists are JSON, missing values empty cells."""
        with (
            atomic_write(out) as path,
            path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file, delimiter=self.divider, lineterminator="\n")
            writer.writerow([*self.header, *columns])
            for cells, values in zip(_by_chunks(self._body()), added, strict=True):
                for (_, row), more in zip(cells, values, strict=True):
                    if more is not None:
                        writer.writerow([*row, *(_cell(more[name]) for name in columns)])

    def _lines(self) -> Generator[list[str]]:
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            ended = False

            def lines() -> Iterator[str]:
                nonlocal ended
                yield from file
                ended = True

            reader = csv.reader(lines(), delimiter=self.divider)
            begins = 1
            try:
                for row in reader:
                    # The reader looked for more of this row: without this, the rest of the file would be one cell.
                    if ended:
                        raise DataError(
                            f"{self.path}: a quotation mark in the row that begins at line {begins} is never closed."
                        )
                    yield row
                    begins = reader.line_num + 1
            except csv.Error as error:
                raise DataError(f"{self.path}, line {reader.line_num} cannot be read: {error}.") from error

    def _body(self) -> Iterator[tuple[int, list[str]]]:
        """Return the rows below the header, without empty lines (which are rows where there is one column)."""
        with closing(self._lines()) as lines:
            next(lines)
            kept = ((row or [""]) for row in lines if row or len(self.header) == 1)
            yield from enumerate(kept, start=1)


class JsonLines:
    """One object a line."""

    def __init__(self, path: Path):
        self.path = path

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time."""
        for lines in _by_chunks(self._lines()):
            yield [_json_row(number, line) for number, line in lines]

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows; missing values are null."""
        with atomic_write(out) as path, path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            for rows, values in zip(self.chunks(), added, strict=True):
                for row, more in zip(rows, values, strict=True):
                    if more is not None:
                        new = {name: more[name] for name in columns}
                        file.write(json.dumps({**row.values, **new}, ensure_ascii=False) + "\n")

    def _lines(self) -> Iterator[tuple[int, str]]:
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            yield from enumerate((line for line in file if line.strip()), start=1)


class ParquetTable:
    """Columns keep their types; lists are lists."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.schema = pq.read_schema(path)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path} cannot be read as Parquet.") from error
        _check_names(path, self.schema.names)

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time."""
        number = 0
        for batch in self._batches():
            rows = batch.to_pylist()
            yield [Row(number + place, row) for place, row in enumerate(rows, start=1)]
            number += len(rows)

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows with typed new columns."""
        new = [pa.field(name, kind) for name, kind in columns.items()]
        schema = pa.schema([*self.schema, *new], self.schema.metadata)
        with atomic_write(out) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch, values in zip(self._batches(), added, strict=True):
                kept = batch.filter(pa.array([more is not None for more in values]))
                there = [more for more in values if more is not None]
                made = [pa.array([more[field.name] for more in there], field.type) for field in new]
                writer.write_batch(pa.record_batch([*kept.columns, *made], schema=schema))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(CHUNK)


def open_table(path: Path) -> Table:
    """Return the table in a file; raises DataError where its extension names no known format or it has no rows."""
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    match kind(path):
        case "csv":
            return CsvTable(path, ",")
        case "tsv":
            return CsvTable(path, "\t")
        case "jsonl":
            return JsonLines(path)
        case "parquet":
            return ParquetTable(path)
    raise DataError(f"{path} is no table of a known format: name a .csv, .tsv, .jsonl or .parquet file.")


def kind(path: Path) -> str:
    """Return a file's format: csv, tsv, jsonl, parquet, or its extension where that is none of them."""
    extension = path.suffix.lower().removeprefix(".")
    return "jsonl" if extension == "ndjson" else extension


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} more than once.")


def _by_chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    chunk: list[T] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _TwiceError(Exception):
    """An object gives a name twice."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found


def _json_row(number: int, line: str) -> Row:
    try:
        value = json.loads(line, object_pairs_hook=_once)
    except _TwiceError as error:
        return Row(number, {"line": line.rstrip("\n")}, f"the line gives {error} twice.")
    except (ValueError, RecursionError):
        return Row(number, {"line": line.rstrip("\n")}, "the line is not valid JSON.")
    if not isinstance(value, dict):
        return Row(number, {"line": line.rstrip("\n")}, "the line is no JSON object.")
    return Row(number, value)


def _cell(value: object) -> object:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
