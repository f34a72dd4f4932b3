"""What a reader of a benchmark's raw files gives, and how its files are found by their usual names."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecellm.data.manifest import InputFile
from ecellm.errors import DataError
from ecellm.types import Example, Split

#: How the public files name the splits.
SPLIT_FILES: dict[str, Split] = {"train": "train", "valid": "validation", "test": "test"}


@dataclass
class Converted:
    """A benchmark's rows as examples; ids may repeat where rows do."""

    examples: list[Example]
    inputs: list[InputFile]
    dropped: Counter[str] = field(default_factory=Counter)
    """Filtered rows, by reason."""


@dataclass(frozen=True)
class Format:
    """One raw format of a benchmark."""

    name: str
    """Whose form it is, for messages."""
    files: tuple[str, ...]
    read: Callable[[Path, str], Converted]
    """Read a folder's files; the second argument is the benchmark's name. Raises DataError, naming file and line,
    for what is not of the format."""


def found(folder: Path, formats: Sequence[Format]) -> Format:
    """Return the first of the formats whose files are all in the folder.

    Raises DataError with one sentence where the folder is not there, or none of the formats is whole.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: name the one with the benchmark's files by --data.")
    for one in formats:
        if all((folder / name).is_file() for name in one.files):
            return one
    wanted = ", or ".join(f"{', '.join(one.files)} ({one.name})" for one in formats)
    begun = [one for one in formats if any((folder / name).is_file() for name in one.files)]
    absent = [name for one in begun[:1] for name in one.files if not (folder / name).is_file()]
    lacking = f": it lacks {', '.join(absent)}" if absent else ""
    raise DataError(f"{folder} does not hold the benchmark's files{lacking}. Wanted: {wanted}.")


def inputs(folder: Path, files: Sequence[str]) -> list[InputFile]:
    """Return the raw files, described."""
    described = []
    for name in files:
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        described.append(InputFile(name, (folder / name).stat().st_size, digest))
    return described
