"""Where bad lines stand in a text file: an engine knows their content, not their numbers."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecellm.io.tables.lines import opened

#: What is searched for lines at a time: small enough to stay in the processor's cache.
BLOCK = 2 << 20
#: Characters at the end of a bad line by which its number is found.
LAST = 8


def line_numbers(
    path: Path, marks: Collection[str], hints: Collection[str], count: int, broken: bool
) -> tuple[dict[str, list[int]], list[int]]:
    """Find the numbers, from 1, of the lines with these md5 marks, and, where `broken` ones are expected,
    of those that are not UTF-8.

    Without broken ones the search ends where `count` lines, all that have these marks, were found. A hint is a wanted
    line's length in bytes, a bar, and its last characters (none where they cannot be shown): it saves the md5 of all
    other lines.
    """
    found: dict[str, list[int]] = defaultdict(list)
    undecodable = []
    split = [hint.partition("|") for hint in hints]
    lengths = np.array([int(length) for length, _, end in split if end], dtype=np.int64)
    bare = np.array([int(length) for length, _, end in split if not end], dtype=np.int64)
    last = (end.encode("utf-8", "surrogatepass")[-LAST:] for _, _, end in split)
    endings = np.array([int.from_bytes(end, "big") for end in last], dtype=np.uint64)
    first = 1
    for block in _blocks(path):
        starts, stops = _lines_of(block)
        candidates = np.isin(stops - starts, lengths)
        candidates[candidates] = np.isin(_endings(block, starts[candidates], stops[candidates]), endings)
        candidates |= np.isin(stops - starts, bare)
        for place in np.flatnonzero(candidates).tolist():
            mark = hashlib.md5(block[starts[place] : stops[place]], usedforsecurity=False).hexdigest()
            if mark in marks:
                found[mark].append(first + place)
        if broken and not _decodes(block):
            places = zip(starts.tolist(), stops.tolist(), strict=True)
            undecodable += [first + place for place, (start, stop) in enumerate(places)
                            if not _decodes(block[start:stop])]  # fmt: skip
        first += len(starts)
        if not broken and sum(map(len, found.values())) >= count:
            break
    marked = {number for numbers in found.values() for number in numbers}
    return found, [number for number in undecodable if number not in marked]


def _blocks(path: Path) -> Iterator[bytes]:
    """Give a file's lines, many at a time: one by one takes many times as long."""
    rest = b""
    with opened(path) as file:
        while data := file.read(BLOCK):
            data = rest + data
            cut = data.rfind(b"\n") + 1
            rest = data[cut:]
            yield data[:cut]
    if rest:
        yield rest + b"\n"


def _lines_of(block: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the lines of a block start and stop, without what ends them."""
    signs = np.frombuffer(block, dtype=np.uint8)
    stops = np.flatnonzero(signs == ord("\n"))
    starts = np.concatenate([np.zeros(1, dtype=np.int64), stops + 1])[: len(stops)]
    while (returns := (stops > starts) & (signs[stops - 1] == ord("\r"))).any():
        stops = stops - returns
    return starts, stops


def _endings(block: bytes, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return each line's last `LAST` bytes as a number."""
    signs = np.frombuffer(block, dtype=np.uint8)
    found = np.zeros(len(stops), dtype=np.uint64)
    for place in range(1, LAST + 1):
        there = stops - place >= starts
        found[there] |= signs[stops[there] - place].astype(np.uint64) << np.uint64(8 * (place - 1))
    return found


def _decodes(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
