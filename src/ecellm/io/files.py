"""Atomic writes: a file or folder is written under a temporary name beside its place, then renamed.

A full disk raises an OSError that names the output.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecellm.errors import DataError

#: The system's numbers for "no room": a full disk, a quota, a limit on a file's size.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: The same as safetensors and torch.save report it: the first hides the number in a text, the second drops it.
_NO_ROOM_TEXT = re.compile(
    rf"\(os error ({'|'.join(map(str, NO_ROOM))})\)|PytorchStreamWriter failed|inline_container\.cc.*unexpected pos"
)


@contextmanager
def reporting_disk_full(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn the error of a full disk, whichever library raised it, into an OSError that names `path`.

    An error that names another file than `path` or `temporary` (where `path` is written first) stays as it is.
    """
    try:
        yield
    except Exception as error:
        full = error.errno in NO_ROOM if isinstance(error, OSError) else bool(_NO_ROOM_TEXT.search(str(error)))
        named = str(getattr(error, "filename", None) or path)
        ours = any(named.startswith(str(known)) for known in (path, temporary) if known is not None)
        if full and ours:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def append_or_roll_back(path: Path, text: str) -> None:
    """Append `text` to a file; where that fails (a full disk), truncate the file to what it was.

    A lone half of a surrogate pair, which UTF-8 cannot hold, is written as JSON's escape for it.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with (
            reporting_disk_full(path),
            path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
        ):
            file.write(text)
    except OSError:
        if path.exists():
            os.truncate(path, before)
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which is renamed to `path` at the end of a block that raised nothing.

    A symbolic link stays one: the file that it points to is replaced. Raises DataError for a pipe or a device.
    """
    path = path.resolve() if path.is_symlink() else path
    _refuse_device(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(path)
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        with reporting_disk_full(path, temporary):
            yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write a text file atomically; half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder to fill, which is renamed to `path` at the end of a block that raised nothing.

    A symbolic link stays one. Raises DataError where `path` exists already, as a file or as a folder that is not
    empty.
    """
    refuse_existing(path)
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(path)
    try:
        temporary.mkdir(mode=0o700)
        with reporting_disk_full(path, temporary):
            yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def all_or_none(paths: Iterable[Path]) -> Iterator[None]:
    """Remove those of the files that were not there before, where the block that writes them raises an error."""
    new = [path for path in paths if not path.exists()]
    try:
        yield
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        raise


def check_is_file(path: Path, advice: str = "") -> None:
    """Raise DataError where a path is none of a regular file, which can be read more than once, with `advice` where
    there is nothing."""
    if path.is_file():
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder: name a file.")
    if path.exists():
        raise DataError(f"{path} is a pipe or a device, and input is read more than once: write it to a file first.")
    raise DataError(f"There is no file {path}{f': {advice}' if advice else ''}.")


def refuse_existing(path: Path) -> None:
    """Raise DataError where `path` is a file or a folder that holds something."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise DataError(f"{path} exists already: name another output, or remove it first.")


def refuse_overwriting(paths: Iterable[Path], overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """Raise DataError where a file exists and may not be replaced, is a folder, an input, or named twice."""
    taken = {path.resolve() for path in inputs if path is not None}
    for path in paths:
        if path.resolve() in taken:
            raise DataError(f"{path} is read too, or named twice: name another file to write.")
        taken.add(path.resolve())
        if path.is_dir():
            raise DataError(f"{path} is a folder: name a file.")
        _refuse_device(path)
        if path.exists() and not overwrite:
            raise DataError(f"{path} exists already: name another file, or add --overwrite.")


def _refuse_device(path: Path) -> None:
    """Raise DataError for what a rename would replace by a file: a pipe, or a device such as /dev/stdout."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is a pipe or a device, and output is a file: name one.")


def _temporary_path(path: Path) -> Path:
    """Return a new name beside `path`, before anything of it exists: Ctrl-C at any moment leaves nothing."""
    return path.parent / f".{path.name}.{secrets.token_hex(8)}.part"


def set_default_mode(files: Iterable[Path]) -> None:
    """Give files the mode of any new file, by the umask: safetensors writes them for their owner alone."""
    mode = 0o666 & ~_umask()
    for file in files:
        file.chmod(mode)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
