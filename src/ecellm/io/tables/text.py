"""Tables of text, read and written row by row: comma- or tab-separated, or one JSON object a line.

A row is written as it was read, byte by byte, with the new values behind it: numbers of any size, bytes that are no
UTF-8 and ways of quoting stay as they are.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, TextIO, TypeVar, cast

import pyarrow as pa

from ecellm.io.files import atomic_write
from ecellm.io.tables.csv_records import HEADER_AGAIN, CsvRecord, CsvRecords
from ecellm.io.tables.header import delimiter_of
from ecellm.io.tables.json_objects import JsonFaultError, json_object
from ecellm.io.tables.lines import DAMAGED, TextLines, byte_order_mark, damaged
from ecellm.io.tables.rows import Added, Row, by_chunks, check_names

#: What is not of the encoding is kept as it is.
KEPT: Final = "surrogateescape"
#: The key of the text of a row that cannot be read.
LINE = "line"
T = TypeVar("T")


class CsvTable:
    """Cells are texts; a row has a cell for each column of the header."""

    has_own_names = False

    def __init__(self, path: Path):
        """Take a file whose first line names columns; raises DataError where it names one twice."""
        self.path = path
        self.delimiter = delimiter_of(path)
        self._first = next(TextLines(path, errors=KEPT).blocks())[0]
        self.header = next(csv.reader([self._first], delimiter=self.delimiter))
        check_names(path, self.header)

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time."""
        for records in by_chunks(enumerate(self._records(), 1)):
            yield [self._row(number, record) for number, record in records]

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows; lists are JSON, missing values empty cells."""
        with _writing(out) as file:
            file.writelines(self.written(columns, chain.from_iterable(added)))

    def written(
        self, columns: Mapping[str, pa.DataType], added: Iterable[Mapping[str, object] | None]
    ) -> Iterator[str]:
        """Give the text of the table with new columns: first its header, then one text a row, empty where `added`
        drops the row. What is no UTF-8 stands in it as `KEPT` has it."""
        ending = "\r\n" if self._first.endswith("\r\n") else "\n"
        yield byte_order_mark(self.path) + self._first.rstrip("\r\n") + self._cells(columns) + ending
        for record, more in zip(self._records(), added, strict=True):
            if more is None:
                yield ""
            else:
                cells = self._cells(_cell(more[name]) for name in columns)
                yield record.text.rstrip("\r\n") + cells + ending

    def _records(self) -> Iterator[CsvRecord]:
        lines = TextLines(self.path, errors=KEPT)
        is_row = None if self.delimiter == "," else lambda cells: True
        yield from _readable(self.path, CsvRecords(lines, self.delimiter, len(self.header), is_row))

    def _row(self, number: int, record: CsvRecord) -> Row:
        if fault := record.fault or (HEADER_AGAIN if record.cells == self.header else ""):
            return Row(number, {"line_number": record.line, LINE: record.text.rstrip("\r\n")}, f"{fault}.")
        return Row(number, dict(zip(self.header, record.cells, strict=True)))

    def _cells(self, values: Iterable[object]) -> str:
        """Return cells that follow others."""
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.delimiter, lineterminator="").writerow(["", *values])
        return text.getvalue()


class JsonLines:
    """One object a line."""

    has_own_names = True

    def __init__(self, path: Path):
        self.path = path

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time; numbers are the texts that stand there."""
        for lines in by_chunks(self._lines()):
            yield [_json_row(number, line) for number, line in lines]

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows; missing values are null."""
        with _writing(out) as file:
            file.write(byte_order_mark(self.path))
            for lines, values in zip(by_chunks(self._lines()), added, strict=True):
                for (_, line), more in zip(lines, values, strict=True):
                    if more is not None:
                        new = json.dumps({name: more[name] for name in columns}, ensure_ascii=False)
                        own = line.strip().removesuffix("}").rstrip()
                        file.write(own + (", " if own != "{" else "") + new[1:] + "\n")

    def _lines(self) -> Iterator[tuple[int, str]]:
        lines = chain.from_iterable(TextLines(self.path, errors=KEPT).blocks())
        yield from enumerate((line for line in _readable(self.path, lines) if line.strip()), 1)


def _readable(path: Path, found: Iterable[T]) -> Iterator[T]:
    """Pass on what is read; raises DataError where a compressed file is damaged."""
    try:
        yield from found
    except DAMAGED as error:
        raise damaged(path, error) from error


@contextmanager
def _writing(out: Path) -> Iterator[TextIO]:
    """Write a text file atomically, compressed where its name says so."""
    with (
        atomic_write(out) as path,
        gzip.open(path, "wb") if out.suffix == ".gz" else path.open("wb") as packed,
        io.TextIOWrapper(cast(BinaryIO, packed), encoding="utf-8", errors=KEPT, newline="") as file,
    ):
        yield file


def _json_row(number: int, line: str) -> Row:
    try:
        return Row(number, json_object(line))
    except JsonFaultError as error:
        return Row(number, {LINE: line.rstrip("\r\n")}, f"{error}.")


def _cell(value: object) -> object:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
