"""One table file into Parquet of typed columns, in bounded memory; rows that cannot be used are rejected.

Both engines read the Parquet, so that what is a row, a value or a fault is decided here and nowhere else.
"""

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NoReturn, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecellm.errors import DataError
from ecellm.io.tables.cells import KINDS, WRONG, values_of
from ecellm.io.tables.csv_records import HEADER_AGAIN, CsvRecords, IsRow
from ecellm.io.tables.header import csv_header, delimiter_of, file_format, places
from ecellm.io.tables.json_objects import JsonFaultError, json_object
from ecellm.io.tables.lines import DAMAGED, EXCERPT, Errors, TextLines
from ecellm.io.tables.parquet import parquet_file

#: So many rows are held at a time, or as many as have so many characters.
ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 50_000, 16 << 20
#: What values raise that Python cannot hold; KeyError those of an unknown zone.
UNHELD = (OverflowError, ValueError, KeyError)


@dataclass(frozen=True)
class TableForm:
    """What a table file should hold."""

    columns: Mapping[str, tuple[str, str]]
    """The Store's columns: the file's own name and the kind (`KINDS`)."""
    needed: Sequence[str]
    """Those that every row must have."""
    encoding: str = "utf-8"
    """Of a text file."""
    errors: Errors = "strict"
    """What becomes of bytes that are not of the encoding; strict rejects their line."""
    header: Sequence[str] | None = None
    """All columns of a comma-separated file, in this order; None for any columns and delimiter."""

    @property
    def names(self) -> list[str]:
        """The file's own names."""
        return [name for name, _ in self.columns.values()]

    @property
    def schema(self) -> pa.Schema:
        """The types of what is written."""
        return pa.schema([(column, KINDS[kind].arrow) for column, (_, kind) in self.columns.items()])


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row, or a line, that is not used."""

    line: int | None
    """From 1, where a file has lines."""
    reason: str
    excerpt: str
    cell: str = ""
    """The value that is not of its column's kind."""


@dataclass
class _Rows:
    """Rows that are held: their cells by column order, their lines, and their texts for excerpts."""

    cells: list[Sequence[object]] = field(default_factory=list)
    lines: list[int | None] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    characters: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    def add(self, line: int, text: str, cells: Sequence[object]) -> None:
        self.cells.append(cells)
        self.lines.append(line)
        self.texts.append(text)
        self.characters += len(text)

    def reject(self, line: int, text: str, reason: str) -> None:
        self.rejections.append(Rejection(line, reason, _excerpt(text)))

    def full(self) -> bool:
        return max(len(self.cells), len(self.rejections)) >= ROWS_AT_ONCE or self.characters >= CHARACTERS_AT_ONCE


def convert(
    path: Path, origin: Path, into: Path, form: TableForm, reject: Callable[[Sequence[Rejection]], None]
) -> None:
    """Write a file's rows as Parquet and hand on those that cannot be used; messages name it `origin`.

    Raises DataError where the file cannot be read or has no usable row.
    """
    readers = {"csv": _csv_rows, "json": _json_rows, "parquet": _parquet_rows}
    good, first = 0, list[Rejection]()
    with _no_collection(), pq.ParquetWriter(into, form.schema, use_dictionary=False) as writer:
        try:
            for rows in readers[file_format(origin)](path, form):
                batch, rejections = _judged(rows, form)
                good += batch.num_rows
                first = first or rejections[:1]
                reject(rejections)
                if batch.num_rows:
                    writer.write_batch(batch)
        except (*DAMAGED, UnicodeDecodeError, pa.ArrowException) as error:
            _refuse(origin, error)
        except OSError as error:
            # A damaged page of Parquet has no number; a full disk has.
            if error.errno is None:
                _refuse(origin, error)
            raise
    if not good:
        raise DataError(f"{origin} has no usable row ({_why(first)}): is it the right file?")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from looking for cycles in the rows that are held, which have none."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _why(rejected: Sequence[Rejection]) -> str:
    """Say what is wrong with the first of rejected rows."""
    if not rejected:
        return "it is empty"
    first = rejected[0]
    shown = f"{first.reason}: {first.cell!r}" if first.cell else f"{first.reason}, as in {first.excerpt!r}"
    return shown if first.line is None else f"line {first.line}: {shown}"


def _refuse(origin: Path, error: Exception) -> NoReturn:
    first = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    raise DataError(f"{origin} cannot be read: {first}. Get the file again.") from error


def _csv_rows(path: Path, form: TableForm) -> Iterator[_Rows]:
    delimiter = "," if form.header is not None else delimiter_of(path)
    header = csv_header(path, delimiter, "utf-8-sig" if form.encoding == "utf-8" else form.encoding)
    if form.header is not None and [name.strip() for name in header] != list(form.header):
        raise DataError(
            f"{path} begins with the columns {','.join(header)[:EXCERPT]!r}, not {','.join(form.header)!r}: is it "
            "the right file?"
        )
    at = places(path, form.header or header, form.names)
    rows = _Rows()
    lines = TextLines(path, form.encoding, form.errors)
    for record in CsvRecords(lines, delimiter, len(header), _row_test(delimiter, at, form)):
        if record.fault:
            rows.reject(record.line, record.text, record.fault)
        elif record.cells == header:
            rows.reject(record.line, record.text, HEADER_AGAIN)
        else:
            cells = record.cells
            rows.add(record.line, record.text, [cells[place] for place in at])
        if rows.full():
            yield rows
            rows = _Rows()
    yield rows


def _row_test(delimiter: str, at: Sequence[int], form: TableForm) -> IsRow | None:
    """Return what tells cells of a row from text that looks like one, None where nothing does: text has commas."""
    if delimiter != ",":
        return lambda cells: True
    tells = [(place, KINDS[kind]) for place, (_, kind) in zip(at, form.columns.values(), strict=True)]
    tells = [(place, kind) for place, kind in tells if kind.tells]

    def is_row(cells: Sequence[str]) -> bool:
        found = [kind.of(cells[place]) for place, kind in tells]
        return any(value is not None for value in found) and not any(value is WRONG for value in found)

    return is_row if tells else None


def _json_rows(path: Path, form: TableForm) -> Iterator[_Rows]:
    names = form.names
    lines = TextLines(path)
    rows = _Rows()
    for number, line in enumerate(chain.from_iterable(lines.blocks()), 1):
        fault = lines.faults.pop(number, "") if lines.faults else ""
        if not fault and not line.strip():
            continue
        try:
            found = json_object("" if fault else line)
            rows.add(number, line, [found.get(name) for name in names])
        except JsonFaultError as error:
            rows.reject(number, line, fault or str(error))
        if rows.full():
            yield rows
            rows = _Rows()
    yield rows


def _parquet_rows(path: Path, form: TableForm) -> Iterator[_Rows]:
    names = form.names
    with parquet_file(path) as file:
        places(path, file.schema_arrow.names, names)
        for batch in file.iter_batches(ROWS_AT_ONCE // 5, columns=list(dict.fromkeys(names))):
            columns = [_cells(batch.column(name)) for name in names]
            cells: list[Sequence[object]] = list(zip(*columns, strict=True))
            yield _Rows(cells, [None] * len(cells))


def _cells(column: pa.Array) -> Sequence[object]:
    """Return a column's values, `WRONG` where Python holds none such: bytes that are no text, times too far off."""
    if pa.types.is_timestamp(column.type):
        # In UTC: the zone may be unknown here.
        column = column.cast(pa.timestamp("us", "UTC" if column.type.tz else None), safe=False)
    try:
        return cast(list[object], column.to_pylist())
    except UNHELD:
        return [_cell(value) for value in column]


def _cell(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except UNHELD:
        return WRONG


def _judged(rows: _Rows, form: TableForm) -> tuple[pa.RecordBatch, list[Rejection]]:
    """Return the good rows, and the others with the first thing that is wrong with each."""
    columns = list(zip(*rows.cells, strict=True)) or [()] * len(form.columns)
    kinds = [KINDS[kind] for _, kind in form.columns.values()]
    made = [values_of(kind, cells) for kind, cells in zip(kinds, columns, strict=True)]
    bad: dict[int, tuple[str, str]] = {}
    for column, kind, cells, (_, wrong) in zip(form.columns, kinds, columns, made, strict=True):
        for place in wrong:
            bad.setdefault(place, (f"{column} {kind.fault}", _shown_cell(cells[place])[:EXCERPT]))
    arrays = [array for array, _ in made]
    for column, array in zip(form.columns, arrays, strict=True):
        if column in form.needed and array.null_count:
            for place in pc.indices_nonzero(array.is_null()).to_pylist():
                bad.setdefault(place, (f"{column} is missing", ""))
    batch = pa.record_batch(arrays, schema=form.schema)
    if bad:
        batch = batch.filter(pa.array([place not in bad for place in range(batch.num_rows)], pa.bool_()))
    rejections = [
        Rejection(rows.lines[at], reason, _shown(rows, at, form), cell) for at, (reason, cell) in sorted(bad.items())
    ]
    return batch, rows.rejections + rejections


def _shown(rows: _Rows, at: int, form: TableForm) -> str:
    if rows.texts:
        return _excerpt(rows.texts[at])
    row = dict(zip(form.names, rows.cells[at], strict=True))
    return json.dumps(row, ensure_ascii=False, default=_shown_cell)[:EXCERPT]


def _shown_cell(cell: object) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    return "?" if cell is WRONG else str(cell)


def _excerpt(text: str) -> str:
    return text.rstrip("\r\n")[:EXCERPT]
