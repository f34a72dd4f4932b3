"""A table file's format, inferred from the file extension, and the columns that it begins with or holds."""

import csv
import json
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.errors import DataError
from ecellm.io.tables.lines import BLOCK, DAMAGED, opened

#: What may divide the columns of a text file.
DELIMITERS = ",;\t|"
#: So many JSON lines are searched for keys.
MOST_SNIFFED = 10_000
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
}


def file_format(path: Path) -> str:
    """Return csv, json or parquet, by a file's extension (and .gz after it); raises DataError for another."""
    extension = Path(path.name.removesuffix(".gz")).suffix.lower()
    if extension not in FORMATS:
        raise DataError(f"{path} is of no known kind: give a .csv, .tsv, .jsonl or .parquet file.")
    return FORMATS[extension]


def delimiter_of(path: Path, encoding: str = "utf-8-sig") -> str:
    """Return what divides the columns of a text file with a header: the commonest of `DELIMITERS` there."""
    header = _first_line(path, encoding)
    return max(DELIMITERS, key=header.count) if header else ","


def csv_header(path: Path, delimiter: str, encoding: str = "utf-8-sig") -> list[str]:
    """Return the names in a CSV file's first line; raises DataError where they break the grammar."""
    try:
        return next(csv.reader([_first_line(path, encoding)], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        why = "a quotation mark is not closed" if "end of data" in str(error) else str(error)
        raise DataError(f"{path}, line 1 cannot be read as the names of columns: {why}.") from error


def file_columns(path: Path) -> list[str]:
    """Return the column names of a table file (of JSON lines: the keys of the first `MOST_SNIFFED`); raises DataError
    where it cannot be read."""
    file = file_format(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}: check --sources and the config's [sources.tables].")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty: it should begin with the names of its columns, or hold rows.")
    try:
        if file == "parquet":
            return list(pq.read_schema(path).names)
        if file == "csv":
            return csv_header(path, delimiter_of(path))
        with opened(path) as lines:
            texts = [line.decode("utf-8-sig", errors="replace") for line in islice(lines, MOST_SNIFFED)]
        return sorted({key for text in texts for key in _keys(text)})
    except (OSError, *DAMAGED, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from error


def places(path: Path, header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return where the columns of these names stand; raises DataError where one stands twice or not at all."""
    twice = [name for name in names if header.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} more than once.")
    if not set(names) <= set(header):
        raise DataError(f"{path} lacks one of the columns {', '.join(names)}.")
    return [header.index(name) for name in names]


def _first_line(path: Path, encoding: str) -> str:
    with opened(path) as file:
        return file.readline(BLOCK).decode(encoding, errors="replace").rstrip("\r\n")


def _keys(line: str) -> Collection[str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return ()
    return value.keys() if isinstance(value, dict) else ()
