"""Journals: JSON lines that a run appends as it goes, so that the next run of the same kind resumes it.

A process may be killed while it writes a line: such an incomplete last line is removed before the journal is read.
What the lines depend on (model, dataset, ...) is the journal's identity; a journal has lines of one identity only.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ecellm.errors import DataError
from ecellm.io.files import append_or_roll_back, atomic_write
from ecellm.io.locks import write_lock
from ecellm.io.tables.json_objects import JsonFaultError, json_value

#: One line.
Entry = dict[str, Any]
#: The key of the first line where the identity stands there.
HEADER = "run"
Key = TypeVar("Key")


def append_entries(path: Path, entries: Iterable[Mapping[str, object]]) -> None:
    """Append a JSON line each, all of them or none."""
    append_or_roll_back(path, "".join(json.dumps(entry, ensure_ascii=False, default=str) + "\n" for entry in entries))


def complete_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number, from 1, and the bytes of each line; an incomplete last line is removed from the file."""
    complete = 0
    with path.open("rb+") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                file.truncate(complete)
                return
            complete += len(line)
            yield number, line


class Journal(Generic[Key]):
    """A journal of one run. Within `with` no other run writes it, once it is there.

    First `keys` says what it holds, then `begin` makes it, then entries are added with `append`.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, object], key: Callable[[Entry], Key], record: Path | None = None
    ):
        """Set up the journal at `path`; `key` returns what an entry answers.

        The identity stands in the file `record`, or, where that is None, in the journal's first line.
        """
        self.path, self.identity, self.key, self.record = path, identity, key, record
        self._locks = ExitStack()
        self._there = False

    def __enter__(self) -> Self:
        """Lock the file where it is there."""
        self._there = self.path.is_file()
        if self._there:
            self._locks.enter_context(write_lock(self.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unlock it."""
        self._locks.close()

    def keys(self) -> set[Key]:
        """Return what the entries answer, after removing an incomplete last line.

        Raises DataError where the journal has another identity, or a line that is no entry.
        """
        if self.path.is_dir():
            raise DataError(f"{self.path} is a folder: name a file for the answers.")
        if self._is_empty():
            return set()
        if self.record is not None:
            self._check(self._recorded(self.record))
        found: set[Key] = set()
        for number, line in complete_lines(self.path):
            try:
                entry: Any = json_value(line.decode("utf-8"))
                if number == 1 and self.record is None:
                    before = dict(entry[HEADER])
                else:
                    found.add(self.key(entry))
                    continue
            except (ValueError, TypeError, KeyError, JsonFaultError) as error:
                raise DataError(
                    f"{self.path}, line {number} is no answer: remove that line, or name another output."
                ) from error
            self._check(before)
        return found

    def begin(self) -> None:
        """Make the file, with its identity, where it has no entries yet.

        Raises DataError where it was not there and another run has begun it meanwhile.
        """
        if not self._there:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._locks.enter_context(write_lock(self.path, must_be_empty=True))
        if not self._is_empty():
            return
        if self.record is None:
            append_entries(self.path, [{HEADER: dict(self.identity)}])
            return
        with atomic_write(self.record) as temporary:
            temporary.write_text(json.dumps(dict(self.identity), indent=2) + "\n", encoding="utf-8")

    def append(self, entries: Iterable[Mapping[str, object]]) -> None:
        """Append entries, all of them or none."""
        append_entries(self.path, entries)

    def _is_empty(self) -> bool:
        return not (self.path.is_file() and self.path.stat().st_size)

    def _recorded(self, record: Path) -> dict[str, object]:
        before = read_record(record)
        if before is None:
            raise DataError(
                f"{self.path} holds answers, but {record.name} does not name their model: name another output."
            )
        return before

    def _check(self, before: Mapping[str, object]) -> None:
        different = [name for name, value in self.identity.items() if before.get(name) != value]
        if different:
            raise DataError(
                f"{self.path} holds answers of another {' and '.join(different)}: name another output, or remove it."
            )


def read_record(record: Path) -> dict[str, object] | None:
    """Return the identity in the file beside a journal; None where there is none."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
