"""Records of CSV text by its grammar, and a way on where a line breaks it.

A quotation mark that is never closed, or closed by a later row's, would swallow the rows between. So a record that
breaks the grammar, or whose quoted value is nothing but rows up to an inch mark, costs its first line alone: that
line is rejected, and reading goes on with the next.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ecellm.io.tables.lines import LONGEST_LINE, TextLines

UNCLOSED = "quotation mark is not closed"
AFTER_QUOTE = "text after a closing quotation mark"
TOO_FEW, TOO_MANY = "missing columns", "too many columns"
RETURN = "carriage return within the line"
HEADER_AGAIN = "the header stands there again"

#: Says whether cells are a row of the table, from what they hold.
IsRow = Callable[[Sequence[str]], bool]


class CsvRecord(NamedTuple):
    """One record of a CSV file, or one line that is none."""

    line: int
    """The number, from 1, of the line where it begins."""
    text: str
    """The record as it stands in the file, with what ends its lines."""
    cells: Sequence[str]
    fault: str = ""
    """Why it cannot be used."""


class _SwallowsError(Exception):
    """A quoted value holds what it should not."""


class CsvRecords:
    """The records below the header of a CSV file. Blank lines are skipped; of one column they are empty cells."""

    def __init__(self, lines: TextLines, delimiter: str, width: int, is_row: IsRow | None):
        """`width` is how many cells a row has; `is_row` judges lines of that many cells, None where none can tell."""
        self._lines = lines
        self._delimiter = delimiter
        self._width = width
        self._is_row = is_row
        self._blocks = lines.blocks()
        self._ahead: deque[str] = deque()
        self._number = 0
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))

    def __iter__(self) -> Iterator[CsvRecord]:
        """Give the records and the lines that are none, in the file's order."""
        self._next_line()  # the header
        while self._ahead or self._load():
            if (cells := self._at_once()) is not None:
                for number, (line, row) in enumerate(zip(self._ahead, cells, strict=True), self._number + 1):
                    if record := self._record(number, line, row):
                        yield record
                self._number += len(self._ahead)
                self._ahead.clear()
                continue
            last = self._number + len(self._ahead)
            while self._number < last and (begins := self._next_line()) is not None:
                if record := self._one(begins):
                    yield record

    def _load(self) -> bool:
        """Take up the next block of lines; returns False at the end of the file."""
        self._ahead.extend(next(self._blocks, ()))
        return bool(self._ahead)

    def _next_line(self) -> str | None:
        if not self._ahead and not self._load():
            return None
        self._number += 1
        return self._ahead.popleft()

    def _at_once(self) -> list[list[str]] | None:
        """Return the cells of all lines ahead where each is a record by itself: much faster than one by one."""
        if self._lines.faults:
            return None
        try:
            cells = list(csv.reader(self._ahead, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        return cells if len(cells) == len(self._ahead) else None

    def _one(self, line: str) -> CsvRecord | None:
        """Return the record that begins with a line; None where it is blank."""
        number = self._number
        if fault := self._lines.faults.pop(number, ""):
            return CsvRecord(number, line, (), fault)
        if '"' in line:
            return self._quoted(number, line)
        return self._record(number, line, line.rstrip("\r\n").split(self._delimiter))

    def _quoted(self, number: int, first: str) -> CsvRecord | None:
        """Return the record that begins with a line, as far as its quoted values go."""
        held = [first]

        def feed() -> Iterator[str]:
            yield first
            size = len(first)
            while (line := self._next_line()) is not None:
                held.append(line)
                size += len(line)
                if size > LONGEST_LINE or self._number in self._lines.faults:
                    raise _SwallowsError
                # Texts have commas, but hardly what else divides columns. A line with a mark may be the value's last.
                if self._delimiter != "," and '"' not in line and self._stands_alone(line):
                    raise _SwallowsError
                yield line

        try:
            cells = next(csv.reader(feed(), delimiter=self._delimiter, strict=True))
        except _SwallowsError:
            return self._given_up(number, held, UNCLOSED)
        except csv.Error as error:
            return self._given_up(number, held, _fault(error) if len(held) == 1 else UNCLOSED)
        wide = any(self._has_width(line) for line in held[1:])
        if wide and (len(cells) != self._width or self._are_rows(held[1:])):
            return self._given_up(number, held, UNCLOSED)
        return self._record(number, "".join(held), cells)

    def _given_up(self, number: int, held: Sequence[str], fault: str) -> CsvRecord:
        """Reject the first of the lines, and read the others again."""
        self._ahead.extendleft(reversed(held[1:]))
        self._number = number
        return CsvRecord(number, held[0], (), fault)

    def _record(self, number: int, text: str, cells: Sequence[str]) -> CsvRecord | None:
        if self._width == 1 and not cells:  # a line of one empty cell
            cells = [""]
        if len(cells) == self._width and (text.strip("\r\n") or self._width == 1):
            return CsvRecord(number, text, cells)
        if not text.strip():
            return None
        if "\r" in text.strip("\r\n") and '"' not in text:
            return CsvRecord(number, text, cells, RETURN)
        return CsvRecord(number, text, cells, TOO_FEW if len(cells) < self._width else TOO_MANY)

    def _are_rows(self, lines: Sequence[str]) -> bool:
        """Say whether lines within a quoted value are rows, which a mark that should not be there has swallowed.

        The last one closes the mark. It often looks like a row, so that where commas divide columns one alone says
        nothing; and where text stands before its mark, and no number as before the sign of inches, the mark is the
        value's own.
        """
        before = lines[-1].partition('"')[0][-1:] if len(lines) > 1 or self._delimiter != "," else ""
        is_stray = before.isdigit() or before == self._delimiter
        return is_stray and all(map(self._is_plain if self._is_row is None else self._stands_alone, lines))

    def _stands_alone(self, line: str) -> bool:
        """Say whether a line within a quoted value is a row by itself."""
        if line.count(self._delimiter) < self._width - 1:
            return False
        is_row = self._is_row
        return is_row is not None and any(
            len(cells) == self._width and is_row(cells) for cells in self._readings(line)
        )

    def _has_width(self, line: str) -> bool:
        return any(len(cells) == self._width for cells in self._readings(line))

    def _is_plain(self, line: str) -> bool:
        """Say whether a line has a row's width and, unlike prose, no space beside what divides it."""
        cells = line.rstrip("\r\n").split(self._delimiter)
        return 1 < len(cells) == self._width and bool(cells[0]) and all(cell == cell.strip() for cell in cells)

    def _readings(self, line: str) -> Iterator[list[str]]:
        """Give the cells of a line by the grammar, and those of one in which quotation marks mean nothing."""
        with suppress(csv.Error):
            yield next(csv.reader([line], delimiter=self._delimiter, strict=True), [])
        yield line.rstrip("\r\n").split(self._delimiter)


def _fault(error: csv.Error) -> str:
    """Return what is wrong with a line that breaks the grammar by itself."""
    if "new-line character" in str(error):
        return RETURN
    return AFTER_QUOTE if "expected after" in str(error) else UNCLOSED
