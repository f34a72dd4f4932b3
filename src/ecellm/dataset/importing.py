"""From the published JSON file to a DATASET folder: repeated settings fold into one sample each.

The file is read row by row, so that 529 MB take far less than that in memory: a sample's texts are kept once.
Nothing is filtered: equal rows of one setting stay two samples. Rows that are none are set aside and counted.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import ijson  # type: ignore[import-untyped]

from ecellm.dataset.build import REJECTS
from ecellm.dataset.dataset import MANIFEST, PUBLISHED, split_setting, write_split
from ecellm.dataset.hub_card import HUB_CARD, hub_card
from ecellm.dataset.published import SPLIT_NAMES, PublishedRow, write_published
from ecellm.files import refuse_existing, whole_folder
from ecellm.records import DIVERSE, SETTINGS, SPLITS, Sample, Split, sample_id
from ecellm.tasks import TASKS
from ecellm.tasks.answers import Ranking

#: A row that does not say its split or setting.
DEFAULT_SPLIT: Split = "test"
DEFAULT_SETTING = f"IND_{DIVERSE}"
EXCERPT = 200

_TASK_NAMES = {
    name.casefold(): task.name for task in TASKS.values() for name in (task.name, task.title, *task.aliases)
}
_SPLITS: dict[str, Split] = {
    **{split: split for split in SPLITS},
    **{theirs: ours for ours, theirs in SPLIT_NAMES.items()},
}


@dataclass
class Imported:
    """What was read so far."""

    samples: list[Sample] = field(default_factory=list)
    rows: list[PublishedRow] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    _places: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """Which sample is the n-th of equal content."""
    _seen: Counter[tuple[bytes, str]] = field(default_factory=Counter)
    """How often a content stood under a setting so far."""
    _ids: Counter[tuple[str, str, str, str | None]] = field(default_factory=Counter)

    def add(self, row: Any) -> None:
        """Take a row of the file in, or set it aside."""
        number = len(self.rows) + len(self.rejected) + 1
        try:
            sample, published = _read(row)
        except ValueError as problem:
            excerpt = json.dumps(row, ensure_ascii=False, default=str)[:EXCERPT]
            self.rejected.append({"row": number, "reason": str(problem), "excerpt": excerpt})
            return
        content = json.dumps([sample.task, sample.domain, sample.split, sample.input, sample.options, sample.output])
        key = hashlib.md5(content.encode(), usedforsecurity=False).digest()
        place = self._places.setdefault((key, self._seen[key, published.setting]), len(self.samples))
        self._seen[key, published.setting] += 1
        if place == len(self.samples):
            same = (sample.task, sample.domain, sample.input, sample.options)
            identity = sample_id(*same, occurrence=self._ids[same])
            self._ids[same] += 1
            self.samples.append(replace(sample, id=identity))
        self.rows.append(replace(published, id=self.samples[place].id))


def import_published(
    path: Path, out: Path, labels: Path | None = None, follow: Callable[[BinaryIO], BinaryIO] = lambda file: file
) -> dict[str, Any]:
    """Write the rows of a published file as the dataset folder `out` and return its manifest.

    `follow` may wrap the open file to show how far reading is. `labels` is the JSON list of the QPR test rows'
    ESCI labels. Raises ValueError where `out` exists, the file is not the JSON that it should be or has no usable
    row, or the labels do not fit its QPR rows.
    """
    refuse_existing(out)
    found = Imported()
    with path.open("rb") as file:
        for row in _objects(follow(file), path):
            found.add(row)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.samples:
        raise ValueError(f"{path} has no usable row: {_reasons(found.rejected)}.")
    if labels is not None:
        _join_labels(found, labels)
    manifest = _manifest(found, path.name, sha256)
    with whole_folder(out) as folder:
        for split in SPLITS:
            write_split([sample for sample in found.samples if sample.split == split], folder / f"{split}.parquet")
        write_published(found.rows, folder / PUBLISHED)
        if found.rejected:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in found.rejected)
            (folder / REJECTS).write_text("".join(lines), encoding="utf-8")
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        (folder / HUB_CARD).write_text(hub_card(manifest), encoding="utf-8")
    return manifest


def _objects(file: BinaryIO, path: Path) -> Iterator[Any]:
    """Yield the items of a JSON array, or one object after the other (JSON lines)."""
    start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    prefix = "item" if start.startswith(b"[") else ""
    try:
        yield from ijson.items(file, prefix, multiple_values=True, use_float=True)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0].strip()
        raise ValueError(f"{path} is not a whole JSON file ({said}): fetch or export it again.") from error


def _read(row: Any) -> tuple[Sample, PublishedRow]:
    """Return a row's sample and what the row says beside it; raises ValueError with a short reason."""
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    task = _TASK_NAMES.get(str(row.get("task")).strip().casefold())
    if task is None:
        raise ValueError("unknown task" if row.get("task") else "no task")
    texts = {name: _text(row.get(name)) for name in ("input", "output")}
    for name, text in texts.items():
        if text is None:
            raise ValueError(f"no {name}")
    setting, named_split = row.get("setting") or DEFAULT_SETTING, row.get("split")
    if setting not in SETTINGS:
        raise ValueError("unknown setting")
    split = DEFAULT_SPLIT if named_split is None else _SPLITS.get(str(named_split))
    if split is None:
        raise ValueError("unknown split")
    options = _text(row.get("options"))
    sample = Sample(
        "", task, split_setting(setting)[0], split, str(texts["input"]), options or None, str(texts["output"])
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
    return sample, published


def _text(value: Any) -> str | None:
    """Return a text; a list or object as JSON text."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _shared(value: Any) -> str | None:
    """Return a text of which many rows have the same, kept once."""
    text = _text(value)
    return None if text is None else sys.intern(text)


def _join_labels(found: Imported, labels: Path) -> None:
    """Give the k-th QPR test row of every setting the k-th entry's labels."""
    entries = _read_labels(labels)
    by_setting: dict[str, list[str]] = defaultdict(list)
    for row in found.rows:
        if row.split == "test" and TASKS[_TASK_NAMES[row.task_name.strip().casefold()]].name == "QPR":
            by_setting[row.setting].append(row.id)
    if not by_setting:
        raise ValueError(f"{labels} gives labels, but the file has no QPR test rows: leave --qpr-labels out.")
    labelled: dict[str, tuple[str, ...]] = {}
    for setting, ids in by_setting.items():
        if len(ids) != len(entries):
            raise ValueError(f"{labels} has {len(entries)} entries, but {setting} has {len(ids)} QPR test rows.")
        for identity, entry in zip(ids, entries, strict=True):
            if labelled.setdefault(identity, entry) != entry:
                raise ValueError(f"{labels} gives one QPR row different labels in different settings.")
    answer = TASKS["QPR"].answer
    assert isinstance(answer, Ranking)
    for place, sample in enumerate(found.samples):
        if sample.id in labelled:
            entry = labelled[sample.id]
            if len(entry) != len(answer.letters(sample)):
                raise ValueError(
                    f"{labels}: {len(entry)} labels for a list of {len(answer.letters(sample))} products."
                )
            found.samples[place] = replace(sample, labels=entry)


def _read_labels(labels: Path) -> list[tuple[str, ...]]:
    try:
        entries = json.loads(labels.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{labels} is not valid JSON.") from error
    good = isinstance(entries, list) and all(
        isinstance(entry, list) and all(label in ("E", "S", "C", "I") for label in entry) for entry in entries
    )
    if not good:
        raise ValueError(f"{labels} should be a list with, for each QPR test row, a list of E, S, C or I.")
    return [tuple(entry) for entry in entries]


def _manifest(found: Imported, name: str, sha256: str) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {}
    for sample in found.samples:
        counts.setdefault(sample.task, Counter())[f"{sample.split} {sample.domain}"] += 1
    return {
        "seed": 0,
        "counts": {task: dict(counts[task]) for task in TASKS if task in counts},
        "published_rows": dict(Counter(row.setting for row in found.rows)),
        "rejected": {name: _counted(found.rejected)} if found.rejected else {},
        "versions": {"ecellm": version("ecellm")},
        "inputs": [{"path": name, "sha256": sha256}],
    }


def _counted(rejected: Iterable[dict[str, Any]]) -> dict[str, int]:
    return dict(sorted(Counter(row["reason"] for row in rejected).items()))


def _reasons(rejected: Iterable[dict[str, Any]]) -> str:
    said = ", ".join(f"{reason}: {count:,}" for reason, count in _counted(rejected).items())
    return said or "it is empty"
