"""What a user's table is to those who read and write it row by row, whatever its format."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa

from ecellm.errors import DataError

#: Rows read and answered at a time.
CHUNK = 4096
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    number: int
    """From 1, the header not counted."""
    values: Mapping[str, object]
    """By column; of a row that cannot be read, its text under `line` and, in CSV, `line_number`."""
    fault: str = ""
    """Why it cannot be read."""


#: What the rows of a chunk get: new values by column, or None to drop the row.
Added = Sequence[Mapping[str, object] | None]


class Table(Protocol):
    """A table of one format.

    The written table has the rows of the one read, in order and as they stand there, except for those that the caller
    drops, and new columns at its end.
    """

    has_own_names: bool
    """Whether each row names its columns, so that any may have others than the first."""

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time."""

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows with new columns; `added` gives the values chunk by chunk."""


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise DataError where a table has a column twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} more than once.")


def by_chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Return rows in lists of at most CHUNK."""
    chunk: list[T] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
