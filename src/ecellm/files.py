"""Writing files whole or not at all: write beside, then rename; or appending to them, one run at a time.

A full disk is an OSError that names the output.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: The system's numbers for "no room": a full disk, a quota, a limit on a file's size.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: How safetensors and torch.save say the same: the first hides the number in a text, the second drops it.
_SAYS_NO_ROOM = re.compile(
    rf"\(os error ({'|'.join(map(str, NO_ROOM))})\)|PytorchStreamWriter failed|inline_container\.cc.*unexpected pos"
)


@contextmanager
def naming(path: Path, beside: Path | None = None) -> Iterator[None]:
    """Turn the error of a full disk, whichever library raised it, into an OSError that names `path`.

    An error that names another file than `path` or `beside` (where `path` is being written) stays as it is.
    """
    try:
        yield
    except Exception as error:
        full = error.errno in NO_ROOM if isinstance(error, OSError) else bool(_SAYS_NO_ROOM.search(str(error)))
        named = str(getattr(error, "filename", None) or path)
        ours = any(named.startswith(str(known)) for known in (path, beside) if known is not None)
        if full and ours:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def append_whole(path: Path, text: str) -> None:
    """Append `text` to a file, or, where that fails (a full disk), leave the file as it was.

    A lone half of a surrogate pair, which UTF-8 cannot hold, is written as JSON's escape for it.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with naming(path), path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
    except OSError:
        if path.exists():
            os.truncate(path, before)
        raise


@contextmanager
def written_alone(out: Path, empty: bool = False) -> Iterator[None]:
    """Keep other runs from writing `out`; raises ValueError where one does, or did though it should be `empty`.

    Two runs on one file would ask, and pay for, the same questions, and take a line that is being written for torn.
    """
    with out.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = empty and out.stat().st_size > 0
        except BlockingIOError:
            taken = True
        except OSError:  # a file system without locks
            taken = False
        if taken:
            raise ValueError(f"Another run is writing {out}: let it end, or name another output.")
        yield


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` only when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _part_of(path)
    try:
        beside.touch(mode=0o600, exist_ok=False)
        with naming(path, beside):
            yield beside
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` to fill; it becomes `path` only when all went well.

    Raises ValueError where `path` exists already, as a file or as a folder that is not empty.
    """
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _part_of(path)
    try:
        beside.mkdir(mode=0o700)
        with naming(path, beside):
            yield beside
        beside.chmod(0o777 & ~_umask())
        if path.is_dir():
            path.rmdir()
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raise ValueError where `path` is a file or a folder that holds something."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise ValueError(f"{path} exists already: name another output, or remove it first.")


def refuse_overwriting(paths: Iterable[Path], overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """Raise ValueError where a file exists and may not be replaced, is a folder, an input, or named twice."""
    taken = {path.resolve() for path in inputs if path is not None}
    for path in paths:
        if path.resolve() in taken:
            raise ValueError(f"{path} is named for two things: name another file to write.")
        taken.add(path.resolve())
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file.")
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists already: name another file, or add --overwrite.")


def _part_of(path: Path) -> Path:
    """A new name beside `path`: known before anything of it exists, so that Ctrl-C at any moment leaves nothing."""
    return path.parent / f".{path.name}.{secrets.token_hex(8)}.part"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
