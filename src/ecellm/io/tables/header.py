"""A table file's format, inferred from the file extension, the columns that it begins with or holds, and what it is
where its first bytes say something else than its name."""

import csv
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.errors import DataError
from ecellm.io.files import check_is_file
from ecellm.io.tables.json_objects import NO_OBJECT, TOO_DEEP, JsonFaultError, json_object
from ecellm.io.tables.lines import BLOCK, DAMAGED, EXCERPT, opened

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
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
#: What is looked at of a file to see what it is.
START = 1024
UTF16 = "is UTF-16 text: save it as UTF-8"
COMPRESSED = "is compressed with {}: decompress it, or compress it with gzip"
#: What the first bytes of files say that are no tables, whatever they are called.
OTHERS = {
    rb"version https://git-lfs\.github\.com/spec/": "is a pointer of Git LFS, not the file itself: run git lfs pull",
    rb"PK\x03\x04": "is an Excel workbook or a zip archive: save the sheet as CSV, or unpack it",
    rb"\xd0\xcf\x11\xe0": "is an Excel workbook: save the sheet as CSV",
    rb"\x28\xb5\x2f\xfd": COMPRESSED.format("Zstandard"),
    rb"BZh[1-9]1AY&SY": COMPRESSED.format("bzip2"),
    rb"\xfd7zXZ\x00": COMPRESSED.format("xz"),
    rb"\xff\xfe|\xfe\xff": UTF16,
    rb"(?i)\s*(<!doctype html|<html)": "is a web page, not a table: download the file itself",
}


def file_format(path: Path) -> str:
    """Return csv, json or parquet, by a file's extension (and .gz after it); raises DataError for another."""
    extension = Path(path.name.removesuffix(".gz")).suffix.lower()
    if extension not in FORMATS:
        raise DataError(f"{path} is of no known kind: give a .csv, .tsv, .jsonl or .parquet file.")
    return FORMATS[extension]


def refuse_other_kind(path: Path) -> None:
    """Raise DataError where a file cannot be read or is not what its name says, with what it is and what to do."""
    try:
        with path.open("rb") as file:
            start = file.read(START)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    if what := _other_kind(path, start):
        raise DataError(f"{path} {what}.")
    if path.suffix == ".gz":
        with suppress(*DAMAGED), opened(path) as file:
            if what := _other_kind(path.with_suffix(""), file.read(START)):
                raise DataError(f"{path} {what}.")


def _other_kind(path: Path, start: bytes) -> str:
    """Say what a file of this name is that begins so, and what to do; empty where it may be what its name says."""
    for sign, what in OTHERS.items():
        if re.match(sign, start):
            return what
    if path.suffix == ".gz":
        return "" if start.startswith(GZIP) else "is not compressed with gzip: remove .gz from its name"
    extension = path.suffix.lower()
    if start.startswith(GZIP):
        return "is compressed with gzip: " + (
            "decompress it" if extension == ".parquet" else f"name it {path.name}.gz"
        )
    if extension == ".parquet":
        return _text_as_parquet(start)
    if FORMATS.get(extension) in ("csv", "json"):
        if start.startswith(PARQUET):
            return "is a Parquet file: name it .parquet"
        if start.count(0) > len(start) // 4:
            return UTF16
    return ""


def _text_as_parquet(start: bytes) -> str:
    """Say that what is called Parquet is a text, and what to do; empty where it may be Parquet, perhaps damaged."""
    line = start.split(b"\n")[0].decode("utf-8-sig", errors="replace").strip()
    if start.startswith(PARQUET) or not line or not line.replace("\t", " ").isprintable() or "\ufffd" in line:
        return ""
    if line.startswith("{"):
        return "holds JSON, not Parquet: name it .jsonl if it has one object a line"
    begins = f"is text, not Parquet; it begins with {line[:40]!r}"
    return f"{begins}: name it .csv if it is a table with a header, or get the file again"


def delimiter_of(path: Path, encoding: str = "utf-8-sig") -> str:
    """Return what divides the columns of a text file with a header: a tab in a file called .tsv that has one there,
    else the commonest of `DELIMITERS`."""
    header = _first_line(path, encoding)
    if ".tsv" in path.suffixes and "\t" in header:
        return "\t"
    return max(DELIMITERS, key=header.count) if header else ","


def csv_header(path: Path, delimiter: str, encoding: str = "utf-8-sig") -> list[str]:
    """Return the names in a CSV file's first line; raises DataError where they break the grammar or are none."""
    line = _first_line(path, encoding)
    if not line:
        raise DataError(
            f"{path} is empty, or begins with an empty line: its first line should be the names of its columns."
        )
    if line.startswith("sep="):
        raise DataError(f"{path} begins with the line {line[:EXCERPT]!r}, which only Excel understands: remove it.")
    if line.startswith('{"'):
        raise DataError(f"{path} holds JSON, not CSV: name it .jsonl if it has one object a line.")
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        why = str(error)
        if "end of data" in why:
            why = "a quotation mark is not closed, and a column's name cannot hold a line break"
        if "new-line character" in why:
            why = "its lines end with carriage returns alone; let line feeds end them"
        raise DataError(f"{path}, line 1 cannot be read as the names of columns: {why}.") from error


def file_columns(path: Path) -> list[str]:
    """Return the column names of a table file (of JSON lines: the keys of the first `MOST_SNIFFED`); raises DataError
    where it cannot be read."""
    file = file_format(path)
    check_is_file(path, "check --sources and the config's [sources.tables]")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty: it should begin with the names of its columns, or hold rows.")
    refuse_other_kind(path)
    try:
        if file == "parquet":
            return list(pq.read_schema(path).names)
        if file == "csv":
            return csv_header(path, delimiter_of(path))
        return _keys_of_lines(path)
    except (OSError, *DAMAGED, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from error


def places(path: Path, header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return where the columns of these names stand; raises DataError where one stands twice or not at all."""
    twice = [name for name in names if header.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} more than once.")
    absent = [name for name in names if name not in header]
    if absent:
        raise DataError(f"{path} has no column {absent[0]!r}; it has {', '.join(header)[:EXCERPT]}.")
    return [header.index(name) for name in names]


def _first_line(path: Path, encoding: str) -> str:
    with opened(path) as file:
        return file.readline(BLOCK).decode(encoding, errors="replace").rstrip("\r\n")


def _keys_of_lines(path: Path) -> list[str]:
    """Return the keys of the first objects; raises DataError where there is none, with what there is."""
    with opened(path) as lines:
        texts = [line.decode("utf-8-sig", errors="replace") for line in islice(lines, MOST_SNIFFED)]
    keys = {key for text in texts for key in _keys(text)}
    if not keys:
        first = next((text.strip() for text in texts if text.strip()), "")
        raise DataError(f"{path} {_no_object(first)}.")
    return sorted(keys)


def _no_object(first: str) -> str:
    """Say what a file of JSON lines holds instead, given its first line, and what to do."""
    if not first:
        return "is empty: write one object a line"
    try:
        json_object(first)
    except JsonFaultError as error:
        if str(error) == TOO_DEEP:
            return f"begins with {TOO_DEEP}: write one object a line, with texts and lists of texts in it"
        if first.startswith("{") and str(error) != NO_OBJECT:
            return f"begins with a {error}: write each name once"
    else:
        return "has no names in its objects: give each value the name of its column"
    if first.startswith("["):
        return "holds a JSON array: write one object a line"
    if first.startswith("{"):
        return "holds a JSON object that is not in one line: write one object a line"
    return f"has no JSON object in a line of its own; it begins with {first[:40]!r}: write one object a line"


def _keys(line: str) -> Collection[str]:
    try:
        return json_object(line).keys()
    except JsonFaultError:
        return ()
