"""The simulated shop's output files: opened once, written to shard by shard, the same bytes each time."""

import gzip
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

#: Options by which gzip saves time rather than space.
LEVEL = 4
#: Of a Leipzig CSV.
Cell = str | float | None
Output = BinaryIO | gzip.GzipFile


class Files:
    """Output files below one folder; nothing is kept in memory but what a caller gives at once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._stack = ExitStack()
        self._open: dict[str, Output] = {}
        self._parquet: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> "Files":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def lines(self, path: str, lines: Iterable[str], encoding: str = "utf-8", end: str = "\n") -> None:
        """Append lines to a file, compressed where its name ends in .gz."""
        self._file(path).write("".join(line + end for line in lines).encode(encoding))

    def objects(self, path: str, rows: Iterable[object]) -> None:
        """Append objects as JSON lines."""
        self.lines(path, map(json.dumps, rows))

    def table(self, path: str, rows: Iterable[Sequence[Cell]], header: Sequence[str], encoding: str) -> None:
        """Append rows as the Leipzig CSVs write them: texts quoted, numbers and gaps bare, lines ended by
        carriage return and line feed; a new file begins with the header."""
        lines = [",".join(map(_cell, row)) for row in rows]
        first = [",".join(map(_cell, header))] if path not in self._open else []
        self.lines(path, [*first, *lines], encoding, end="\r\n")

    def parquet(self, path: str, table: pa.Table) -> None:
        """Append a table to a Parquet file as one row group."""
        if path not in self._parquet:
            self._parquet[path] = self._stack.enter_context(pq.ParquetWriter(self._place(path), table.schema))
        self._parquet[path].write_table(table)

    def _file(self, path: str) -> Output:
        if path not in self._open:
            file: Output = self._stack.enter_context(self._place(path).open("wb"))
            if path.endswith(".gz"):
                # No name and no time in the header, or equal seeds would give unequal bytes.
                file = self._stack.enter_context(gzip.GzipFile("", "wb", LEVEL, file, mtime=0))
            self._open[path] = file
        return self._open[path]

    def _place(self, path: str) -> Path:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


def _cell(value: Cell) -> str:
    """Return one cell of a Leipzig CSV."""
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
