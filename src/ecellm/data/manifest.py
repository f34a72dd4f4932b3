"""The manifest of a DATASET folder: what it holds, what it was made from, and what was filtered or rejected."""

from dataclasses import dataclass
from typing import TypedDict

#: What a dataset's rows are counted by: split and domain.
PARTS = ("train IND", "validation IND", "test IND", "test OOD")


@dataclass(frozen=True)
class InputFile:
    """One raw file that was read."""

    path: str
    """Relative to the folder of raw files, with forward slashes."""
    bytes: int
    sha256: str


class DeviationRow(TypedDict):
    """One difference from the paper, and the tasks that have it."""

    tasks: list[str]
    text: str


class Manifest(TypedDict, total=False):
    """The content of manifest.json; what does not apply to a dataset's origin is omitted."""

    seed: int
    benchmark: dict[str, str]
    """Of a benchmark's rows: its name, and the form of its files."""
    counts: dict[str, dict[str, int]]
    """Rows by task and part, such as "train IND"."""
    quotas: dict[str, dict[str, int]]
    """Rows that the config asks for, by task and part."""
    drawn: dict[str, int]
    """Rows that the samplers drew, by task."""
    dropped: dict[str, dict[str, int]]
    """Filtered rows by task and reason."""
    spare: dict[str, int]
    """Rows drawn beyond the quotas, by task."""
    published_rows: dict[str, int]
    """Of an import: the file's rows by setting."""
    rejected: dict[str, dict[str, int]]
    """Rejected lines by file and reason."""
    converted: dict[str, dict[str, int]]
    """Of an import: values that are not stored as they stand in the file, by file and reason."""
    unread_keys: dict[str, dict[str, int]]
    """Of an import: by file, the rows that have each key that ECInstruct does not, the commonest key first."""
    config: dict[str, object]
    """Of a build: the whole config (`BuildConfig`)."""
    deviations: list[DeviationRow]
    versions: dict[str, str]
    """Of Python and of the packages that decide what is drawn."""
    inputs: list[dict[str, str | int]]
    """Path, bytes and sha256 of each raw file (`InputFile`); an import's size is omitted."""
