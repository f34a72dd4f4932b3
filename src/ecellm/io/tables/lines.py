"""A text file's lines in bounded memory: decoded, numbered, the unreadable ones marked."""

import gzip
import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

from isal import igzip, isal_zlib

from ecellm.errors import DataError

#: What reading a damaged gzip file raises.
DAMAGED: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, cast(type[Exception], isal_zlib.error))
#: Bytes that are read at a time.
BLOCK = 1 << 20
#: Longer lines are rejected. (DuckDB takes sixteen times this for each buffer.)
LONGEST_LINE = 4 << 20
#: Characters of a rejected line that are kept.
EXCERPT = 200
Errors = Literal["strict", "replace", "surrogateescape"]
#: What every engine calls these faults.
NOT_DECODED, TOO_LONG = "invalid encoding", "line size over maximum"


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error of a damaged file."""
    return DataError(f"{path} is damaged or cut short ({error}). Get the file again.")


def opened(path: Path) -> BinaryIO:
    """Open a file for reading bytes, unzipped (three times as fast as by Python's own) where its name ends in .gz."""
    if path.suffix == ".gz":
        return cast(BinaryIO, igzip.IGzipFile(path))  # type: ignore[no-untyped-call]
    return path.open("rb")


def byte_order_mark(path: Path) -> str:
    """Return the byte order mark that a text file in UTF-8 begins with; empty where there is none."""
    with opened(path) as file:
        return BOM_UTF8.decode() if file.read(len(BOM_UTF8)) == BOM_UTF8 else ""


class TextLines:
    """The lines of a text file, each with what ends it, and the reasons why some cannot be used."""

    def __init__(self, path: Path, encoding: str = "utf-8", errors: Errors = "strict"):
        """`errors` says what becomes of bytes that are not of the encoding: strict marks their line, replace puts
        U+FFFD, surrogateescape keeps them for those who write the line again."""
        self.path = path
        self.encoding = encoding
        self.errors = errors
        self.faults: dict[int, str] = {}
        """Reasons by line number, from 1; known once its block has been given."""

    def blocks(self) -> Iterator[list[str]]:
        """Give the lines, many at a time. Only a line feed ends one; a byte order mark is no part of the first."""
        number = 1
        for block in self._raw():
            if number == 1 and self.encoding == "utf-8":
                block = block.removeprefix(BOM_UTF8)
            first = block.find(b"\n")
            if max(first, len(block) if first < 0 else 0) > LONGEST_LINE:
                self.faults[number] = TOO_LONG
                block = block[:EXCERPT] + block[first if first >= 0 else len(block) :]
            try:
                text = block.decode(self.encoding, self.errors)
            except UnicodeDecodeError:
                text = self._mended(block, number)
            yield list(io.StringIO(text, newline="\n"))
            number += block.count(b"\n")

    def _raw(self) -> Iterator[bytes]:
        """Give the file in blocks of whole lines. Of a line that is too long no more is kept than shows that."""
        rest = b""
        with opened(self.path) as file:
            while data := file.read(BLOCK):
                data = rest + data
                cut = data.rfind(b"\n") + 1
                if cut:
                    yield data[:cut]
                rest = data[cut : cut + LONGEST_LINE + 1]
        if rest:
            yield rest

    def _mended(self, block: bytes, number: int) -> str:
        """Decode a block line by line and mark the lines that are not of the encoding."""
        found = []
        for place, line in enumerate(block.split(b"\n"), number):
            try:
                found.append(line.decode(self.encoding))
            except UnicodeDecodeError:
                self.faults.setdefault(place, NOT_DECODED)
                found.append(line.decode(self.encoding, "replace"))
        return "\n".join(found)
