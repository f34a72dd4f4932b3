"""Locks on files that runs append to: one run at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from ecellm.errors import DataError


@contextmanager
def write_lock(path: Path, must_be_empty: bool = False) -> Iterator[None]:
    """Lock a file against other runs within the block, creating it where there is none.

    Two runs on one file would ask, and pay for, the same questions, and remove a line that is still being written.
    On a file system without locks the block runs unprotected. Raises DataError where another run holds the lock, or
    where the file `must_be_empty` and another run has written to it meanwhile.
    """
    with path.open("ab") as file:
        try:
            held = lock_descriptor(file.fileno(), blocking=False)
        except OSError:  # a file system without locks
            held = True
        if not held or (must_be_empty and path.stat().st_size > 0):
            raise DataError(f"Another run is writing {path}: let it end, or name another output.")
        yield
