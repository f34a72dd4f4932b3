"""Downloading the public sources: resumed where it broke, checked by length and checksum, whole or not at all."""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

from ecellm.data.readers.addresses import File
from ecellm.errors import DataError
from ecellm.io.files import atomic_write, reporting_disk_full

#: What was downloaded into a folder, and from where.
RECORD = "downloads.json"
#: Tries for one file without a byte of progress, and seconds between the first two; each pause doubles.
TRIES, PAUSE = 5, 1.0
TIMEOUT = 60.0
#: Answers that may be different a moment later.
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
PARTIAL, RANGE_NOT_SATISFIABLE = 206, 416

#: Called with the file's path, bytes so far and bytes in all (None where unknown).
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Downloaded:
    """A file that is there and was checked."""

    path: str
    url: str
    bytes: int
    sha256: str


def download(files: Sequence[File], to: Path, progress: Progress, pause: float = PAUSE) -> list[Downloaded]:
    """Download the files that are not there yet into `to`, one after the other, and note them in its record.

    What a break leaves stays beside the file as .part, and the next call goes on from there. Raises DataError
    where a server refuses, sends nothing for long, or what it sent is of the wrong length or checksum; the other
    files stay.
    """
    to.mkdir(parents=True, exist_ok=True)
    record = _read_record(to)
    for file in files:
        target = to / file.path
        known = record.get(file.path)
        if not (known and target.is_file() and target.stat().st_size == known.bytes and known.url == file.url):
            target.parent.mkdir(parents=True, exist_ok=True)
            record[file.path] = _one(file, target, progress, pause)
            _write_record(to, record)
        _unpack(file, target)
    return [record[file.path] for file in files]


def _one(file: File, target: Path, progress: Progress, pause: float) -> Downloaded:
    """Download one file, trying again as long as something comes."""
    part = target.with_name(target.name + ".part")
    tries = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            with reporting_disk_full(part):
                _fetch(file, part, progress)
            break
        except (httpx2.TransportError, _TryAgainError) as error:
            tries = 1 if part.exists() and part.stat().st_size > before else tries + 1
            if tries == TRIES:
                raise DataError(
                    f"{file.url} cannot be downloaded ({error or type(error).__name__}): try again later, it goes on "
                    "where it stopped."
                ) from error
            time.sleep(pause * 2 ** (tries - 1))
    size = part.stat().st_size
    with part.open("rb") as there:
        digest = hashlib.file_digest(there, "sha256").hexdigest()
    if (file.bytes not in (None, size)) or (file.sha256 not in (None, digest)):
        part.unlink()
        _tag(part).unlink(missing_ok=True)
        what = "length" if file.bytes not in (None, size) else "checksum"
        raise DataError(
            f"{file.url} has another {what} than it should: it was changed or damaged on its way. Try again; if it "
            f"stays so, look at the source's page."
        )
    part.replace(target)
    _tag(part).unlink(missing_ok=True)
    return Downloaded(file.path, file.url, size, digest)


class _TryAgainError(Exception):
    """The server cannot answer now, or its answer broke off."""


def _fetch(file: File, part: Path, progress: Progress) -> None:
    """Append to `part` what is missing of the file; begins anew where the server's file is another one by now."""
    have = part.stat().st_size if part.exists() else 0
    tag = _tag(part).read_text() if _tag(part).exists() else ""
    headers = {"Accept-Encoding": "identity"}
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    with httpx2.stream("GET", file.url, headers=headers, follow_redirects=True, timeout=TIMEOUT) as answer:
        if answer.status_code == RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise _TryAgainError("the server's file is shorter than what is here")
        if answer.status_code in TRY_AGAIN:
            raise _TryAgainError(f"the server says {answer.status_code}")
        if answer.is_error:
            raise DataError(f"{file.url} cannot be downloaded: the server says {answer.status_code}.")
        have = have if answer.status_code == PARTIAL else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        _tag(part).write_text(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        with part.open("ab" if have else "wb") as out:
            for chunk in answer.iter_raw():
                out.write(chunk)
                have += len(chunk)
                progress(file.path, have, total)
    if total is not None and have != total:
        raise _TryAgainError(f"{have} of {total} bytes came")


def _tag(part: Path) -> Path:
    """Return where the mark of the server's version stands, by which a resumed download stays one file."""
    return part.with_name(part.name + ".tag")


def _unpack(file: File, target: Path) -> None:
    """Put the named members of a zip file beside it; only names of our own are written to."""
    for member in file.unpack:
        beside = target.parent / member
        if beside.is_file():
            continue
        try:
            with zipfile.ZipFile(target) as archive, atomic_write(beside) as out:
                found = next(name for name in archive.namelist() if name.rsplit("/", 1)[-1] == member)
                out.write_bytes(archive.read(found))
        except (zipfile.BadZipFile, StopIteration) as error:
            raise DataError(f"{target} is no zip file that holds {member}: remove it and download again.") from error


def _read_record(to: Path) -> dict[str, Downloaded]:
    path = to / RECORD
    if not path.exists():
        return {}
    try:
        return {row["path"]: Downloaded(**row) for row in json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path} is damaged: remove it and download again.") from error


def _write_record(to: Path, record: dict[str, Downloaded]) -> None:
    with atomic_write(to / RECORD) as out:
        out.write_text(json.dumps([asdict(row) for row in record.values()], indent=2) + "\n", encoding="utf-8")
