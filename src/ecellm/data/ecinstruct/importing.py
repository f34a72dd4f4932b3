"""From the published JSON file to a DATASET folder: repeated settings fold into one sample each.

The file is read row by row, so that 529 MB take far less than that in memory: a sample's texts are kept once.
Nothing is filtered: equal rows of one setting stay two samples. Rows that are none are rejected and counted.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, TypedDict

from ecellm.data.dataset import PUBLISHED, split_setting, write_dataset
from ecellm.data.ecinstruct.format import SPLIT_NAMES, PublishedRow, write_published
from ecellm.data.ecinstruct.json_rows import EXCERPT, JsonObject, TooDeep, json_rows
from ecellm.data.manifest import Manifest
from ecellm.errors import DataError, EcellmError
from ecellm.io.files import atomic_folder, refuse_existing
from ecellm.io.tables.cells import is_whole_text
from ecellm.io.tables.header import refuse_other_kind
from ecellm.io.tables.lines import DAMAGED, damaged, opened
from ecellm.tasks import TASKS, Task, tasks_by_name
from ecellm.tasks.qpr import TASK as QPR
from ecellm.tasks.qpr import compared
from ecellm.types import DIVERSE, SETTINGS, SPLITS, Example, Split, sample_id

#: A row that does not say its split or setting.
DEFAULT_SPLIT: Split = "test"
DEFAULT_SETTING = f"IND_{DIVERSE}"
#: What may be a text of a row, and those of these that may be something else, of which they then are the JSON.
TEXTS = ("task", "split", "setting", "instruction", "input", "options", "output", "few_shot_example")
CONVERTED = ("instruction", "input", "options", "output", "few_shot_example")
#: Why a row is rejected.
NESTED = "nested too deeply"

_SPLITS: dict[str, Split] = {
    **{split: split for split in SPLITS},
    **{theirs: ours for ours, theirs in SPLIT_NAMES.items()},
}


class RejectedEntry(TypedDict):
    """A row of the file that was rejected."""

    row: int
    """From 1."""
    reason: str
    excerpt: str


@dataclass
class Imported:
    """What was read so far."""

    examples: list[Example] = field(default_factory=list)
    rows: list[PublishedRow] = field(default_factory=list)
    rejected: list[RejectedEntry] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)
    """Values that are not stored as they stand in the file, by reason."""
    unread: Counter[str] = field(default_factory=Counter)
    """Keys that no row has, by name."""
    _places: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """Which sample is the n-th of equal content."""
    _seen: Counter[tuple[bytes, str]] = field(default_factory=Counter)
    """How often a content stood under a setting so far."""
    _tasks: dict[str, Task] = field(default_factory=tasks_by_name)
    _ids: Counter[tuple[str, str, str, str | None]] = field(default_factory=Counter)

    def add(self, row: object) -> None:
        """Take a row of the file in, or reject it."""
        number = len(self.rows) + len(self.rejected) + 1
        try:
            if isinstance(row, TooDeep):
                raise DataError(NESTED)
            if not isinstance(row, JsonObject):
                raise DataError("not a JSON object")
            example, published = _read(row, self._tasks)
        except EcellmError as problem:
            self.rejected.append(RejectedEntry(row=number, reason=str(problem), excerpt=_excerpt(row)))
            return
        self._count(row)
        content = json.dumps(
            [example.task, example.domain, example.split, example.input, example.options, example.output]
        )
        key = hashlib.md5(content.encode(), usedforsecurity=False).digest()
        place = self._places.setdefault((key, self._seen[key, published.setting]), len(self.examples))
        self._seen[key, published.setting] += 1
        if place == len(self.examples):
            same = (example.task, example.domain, example.input, example.options)
            identity = sample_id(*same, occurrence=self._ids[same])
            self._ids[same] += 1
            self.examples.append(replace(example, id=identity))
        self.rows.append(replace(published, id=self.examples[place].id))

    def _count(self, row: Mapping[str, object]) -> None:
        """Count what a row does not give back as it was: values that are no texts, and unknown keys."""
        for name in CONVERTED:
            value = row.get(name)
            if isinstance(value, list | dict):
                self.converted[f"{name} is a list or an object, stored as its JSON"] += 1
            elif value is not None and not isinstance(value, str):
                self.converted[f"{name} is a number or a truth value, stored as its text"] += 1
        self.unread.update(row.keys() - set(TEXTS))


def import_published(
    path: Path, out: Path, labels: Path | None = None, follow: Callable[[BinaryIO], BinaryIO] = lambda file: file
) -> Manifest:
    """Write the rows of a published file as the dataset folder `out` and return its manifest.

    `follow` may wrap the open file to show how far reading is. `labels` is the JSON list of the QPR test rows'
    ESCI labels. Raises DataError where `out` exists, the file is not the JSON that it should be or has no usable
    row, or the labels do not fit its QPR rows.
    """
    refuse_existing(out)
    refuse_other_kind(path)
    found = Imported()
    for row in json_rows(path, follow):
        found.add(row)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.examples:
        raise DataError(f"{path} has no usable row: {_reasons(found.rejected)}.")
    if labels is not None:
        _join_labels(found, labels)
    manifest = _manifest(found, path.name, sha256)
    with atomic_folder(out) as folder:
        examples = {split: [one for one in found.examples if one.split == split] for split in SPLITS}
        write_dataset(folder, examples, manifest, found.rejected)
        write_published(found.rows, folder / PUBLISHED)
    return manifest


def _read(row: JsonObject, tasks: Mapping[str, Task]) -> tuple[Example, PublishedRow]:
    """Return a row's sample and what the row says beside it; raises DataError with a short reason."""
    if row.twice:
        raise DataError("a key stands twice")
    task = tasks.get(str(row.get("task")).strip().casefold())
    if task is None:
        raise DataError("unknown task" if row.get("task") else "no task")
    half = [name for name in TEXTS if isinstance(text := row.get(name), str) and not is_whole_text(text)]
    if half:
        raise DataError(f"half of a surrogate pair in {half[0]}")
    texts = {name: _text(row.get(name)) for name in ("input", "output")}
    for name, text in texts.items():
        if text is None:
            raise DataError(f"no {name}")
    setting, named_split = row.get("setting"), row.get("split")
    if setting in (None, ""):
        setting = DEFAULT_SETTING
    if setting not in SETTINGS:
        raise DataError("unknown setting")
    split = DEFAULT_SPLIT if named_split is None else _SPLITS.get(str(named_split))
    if split is None:
        raise DataError("unknown split")
    options = _text(row.get("options"))
    example = Example(
        "", task.name, split_setting(setting)[0], split, str(texts["input"]), options or None, str(texts["output"])
    )
    published = PublishedRow(
        id="",
        split=split,
        setting=sys.intern(setting),
        task_name=sys.intern(str(row["task"])),
        split_name=None if named_split is None else sys.intern(str(named_split)),
        instruction=_shared(row.get("instruction")),
        few_shot_example=_text(row.get("few_shot_example")),
        blank_options=options == "",
    )
    return example, published


def _text(value: object) -> str | None:
    """Return a text; a list or object as JSON text. Raises DataError for one that is nested too deeply."""
    try:
        return value if value is None or isinstance(value, str) else json.dumps(value)
    except RecursionError as error:
        raise DataError(NESTED) from error


def _excerpt(row: object) -> str:
    if isinstance(row, TooDeep):
        return ""
    try:
        return json.dumps(row, ensure_ascii=False, default=str)[:EXCERPT]
    except RecursionError:
        return ""


def _shared(value: object) -> str | None:
    """Return a text of which many rows have the same, kept once."""
    text = _text(value)
    return None if text is None else sys.intern(text)


def _join_labels(found: Imported, labels: Path) -> None:
    """Give the k-th QPR test row of every setting the k-th entry's labels."""
    entries = _read_labels(labels)
    by_setting: dict[str, list[str]] = defaultdict(list)
    of_task = {example.id for example in found.examples if example.task == QPR.name}
    for row in found.rows:
        if row.split == "test" and row.id in of_task:
            by_setting[row.setting].append(row.id)
    if not by_setting:
        raise DataError(f"{labels} gives labels, but the file has no QPR test rows: leave --qpr-labels out.")
    labelled: dict[str, tuple[str, ...]] = {}
    for setting, ids in by_setting.items():
        if len(ids) != len(entries):
            raise DataError(f"{labels} has {len(entries)} entries, but {setting} has {len(ids)} QPR test rows.")
        for identity, entry in zip(ids, entries, strict=True):
            if labelled.setdefault(identity, entry) != entry:
                raise DataError(f"{labels} gives one QPR row different labels in different settings.")
    for place, example in enumerate(found.examples):
        if example.id in labelled:
            entry = labelled[example.id]
            products = _products(example)
            if len(entry) != products:
                raise DataError(f"{labels}: {len(entry)} labels for a list of {products} products.")
            found.examples[place] = replace(example, labels=entry)


def _products(example: Example) -> int:
    try:
        return len(compared(example))
    except DataError as error:
        raise DataError(
            f"A QPR test row has no query and list of products to label: {example.input[:80]!r}."
        ) from error


def _read_labels(labels: Path) -> list[tuple[str, ...]]:
    refuse_other_kind(labels)
    try:
        with opened(labels) as file:
            entries = json.loads(file.read().decode("utf-8-sig"))
    except DAMAGED as error:
        raise damaged(labels, error) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{labels} is not valid JSON.") from error
    good = isinstance(entries, list) and all(
        isinstance(entry, list) and all(str(label) in QPR.answer.gains for label in entry) for entry in entries
    )
    if not good:
        raise DataError(f"{labels} should be a list with, for each QPR test row, a list of E, S, C or I.")
    return [tuple(entry) for entry in entries]


def _manifest(found: Imported, name: str, sha256: str) -> Manifest:
    counts: dict[str, Counter[str]] = {}
    for example in found.examples:
        counts.setdefault(example.task, Counter())[f"{example.split} {example.domain}"] += 1
    return {
        "seed": 0,
        "counts": {task: dict(counts[task]) for task in TASKS if task in counts},
        "published_rows": dict(Counter(row.setting for row in found.rows)),
        "rejected": {name: _counted(found.rejected)} if found.rejected else {},
        "converted": {name: dict(sorted(found.converted.items()))} if found.converted else {},
        "unread_keys": {name: _by_count(found.unread)} if found.unread else {},
        "versions": {"ecellm": version("ecellm")},
        "inputs": [{"path": name, "sha256": sha256}],
    }


def _by_count(names: Counter[str]) -> dict[str, int]:
    return dict(sorted(names.items(), key=lambda item: (-item[1], item[0])))


def _counted(rejected: Iterable[RejectedEntry]) -> dict[str, int]:
    return dict(sorted(Counter(row["reason"] for row in rejected).items()))


def _reasons(rejected: Iterable[RejectedEntry]) -> str:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in _counted(rejected).items())
    return reasons or "it is empty"
