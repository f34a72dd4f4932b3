"""Keyed hashes: every random choice is an ordering by md5 of a seed and a stable key.

The same function exists as an Ibis expression in `ecellm.data.schema`, so a draw is the same on any
engine, machine or row order. md5 is used as a fast, portable mixer, not for secrecy.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import TypeVar

SEPARATOR = "|"
T = TypeVar("T")


def keyed_hash(seed: int | str, *parts: object) -> str:
    """Return the md5 of `seed|part|part...` as 32 hexadecimal digits; its order is the draw order."""
    text = SEPARATOR.join([str(seed), *(str(part) for part in parts)])
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def keyed_number(seed: int | str, *parts: object) -> float:
    """Return a number in [0, 1) drawn by the keyed hash."""
    return int(keyed_hash(seed, *parts)[:13], 16) / 16**13


def keyed_choice(count: int, seed: int | str, *parts: object) -> int:
    """Return an index in [0, count) drawn by the keyed hash."""
    assert count > 0
    return int(keyed_hash(seed, *parts), 16) % count


def keyed_shuffle(items: list[T], seed: int | str, *parts: object) -> list[T]:
    """Return the items in an order drawn by the keyed hash; equal items keep their places' order."""
    order = sorted(range(len(items)), key=lambda place: keyed_hash(seed, *parts, place))
    return [items[place] for place in order]


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, which is computed once for as long as its size and time of change stay."""
    stat = path.stat()
    return _file_hash(path.resolve(), stat.st_size, stat.st_mtime_ns)


@cache
def _file_hash(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
