"""A DATASET folder as the rest of the house sees it: samples by split and domain, viewed under a setting.

The folder holds train.parquet, validation.parquet, test.parquet (each sample once) and manifest.json.
A setting is a view: it adds an instruction and, in the 1-shot settings, a worked example to each sample.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecellm.data.dataset_columns import check_published, check_split
from ecellm.data.hub_card import HUB_CARD, hub_card
from ecellm.data.manifest import Manifest
from ecellm.errors import DataError
from ecellm.io.hashing import keyed_choice, keyed_hash
from ecellm.io.json_files import read_json
from ecellm.io.json_types import json_fault
from ecellm.tasks import TASKS
from ecellm.types import DIVERSE, ONE_SHOT, SETTINGS, SINGLE, SPLITS, UNSEEN, Domain, Example, Question, Split

MANIFEST = "manifest.json"
#: Of imported datasets only: what the published rows say beside their samples (`ecinstruct/format.py`).
PUBLISHED = "published.parquet"
#: Rejected input, a JSON object a line.
REJECTS = "rejects.jsonl"

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("options", pa.string()),
        pa.field("output", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("facts", pa.list_(pa.string())),
        pa.field("products", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, read lazily by split."""

    path: Path
    manifest: Manifest

    @property
    def seed(self) -> int:
        """The seed it was built with; instructions are drawn by it."""
        return self.manifest.get("seed", 0)

    @property
    def is_imported(self) -> bool:
        """Whether it was imported and so has instructions of its own."""
        return (self.path / PUBLISHED).is_file()

    def hash(self) -> str:
        """Return a sha256 over its Parquet files: two datasets of equal hash have equal rows."""
        digest = hashlib.sha256()
        for name in [*(f"{split}.parquet" for split in SPLITS), *([PUBLISHED] if self.is_imported else [])]:
            with (self.path / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def examples(self, split: Split, domain: Domain = "IND", tasks: Collection[str] | None = None) -> list[Example]:
        """Return the samples of a split and domain (of the named tasks only), in file order."""
        wanted = pc.field("domain") == domain
        if tasks is not None:
            wanted &= pc.field("task").isin(list(tasks))
        rows = pq.read_table(self.path / f"{split}.parquet", filters=wanted).to_pylist()
        return [_sample(row, split) for row in rows]

    def view(self, setting: str, split: Split = "test", tasks: Collection[str] | None = None) -> list[Question]:
        """Return the samples of a split as a setting asks them, in file order.

        The one-shot example of test row i of a task is that task's train row i (counted round where train is
        shorter), for OOD rows too, as in the paper. An imported dataset has the rows, instructions and examples
        that its file gives the setting; a row without an instruction gets ours.

        Raises DataError for an unknown setting, and for train or validation rows under the unseen or 1-shot
        settings: the one would give the unseen instruction away, the other a train row's own answer.
        """
        domain, part = split_setting(setting)
        if split != "test" and part in (UNSEEN, ONE_SHOT):
            raise DataError(f"{setting} has test rows only: take {domain}_{DIVERSE} or {domain}_{SINGLE}.")
        examples = self.examples(split, domain, tasks)
        if self.is_imported:
            return self._as_published(examples, setting, split)
        shots = self._shots(tasks) if part == ONE_SHOT else {}
        places: dict[str, int] = defaultdict(int)
        questions = []
        for example in examples:
            train = shots.get(example.task, [])
            shot = train[places[example.task] % len(train)] if train else None
            places[example.task] += 1
            questions.append(Question(example, self.instruction(example, part), shot))
        return questions

    def instruction(self, example: Example, part: str) -> str:
        """Return the instruction that a sample gets under the instruction part of a setting."""
        task = TASKS[example.task]
        if part == SINGLE:
            return task.seed_instruction
        if part == UNSEEN:
            return task.unseen_instruction
        seen = task.seen_instructions
        return seen[keyed_choice(len(seen), self.seed, "instruction", example.id)]

    def settings(self) -> list[str]:
        """Return the settings that have test rows, in the published order."""
        if self.is_imported:
            rows = pq.read_table(self.path / PUBLISHED, columns=["setting"], filters=pc.field("split") == "test")
            named = set(rows["setting"].to_pylist())
            return [setting for setting in SETTINGS if setting in named]
        domains = set(pq.read_table(self.path / "test.parquet", columns=["domain"])["domain"].to_pylist())
        return [setting for setting in SETTINGS if split_setting(setting)[0] in domains]

    def _as_published(self, examples: Sequence[Example], setting: str, split: Split) -> list[Question]:
        """Return those of the samples that the imported file has under a setting, as it asks them."""
        wanted = (pc.field("setting") == setting) & (pc.field("split") == split)
        columns = ["id", "instruction", "few_shot_example"]
        rows = pq.read_table(self.path / PUBLISHED, columns=columns, filters=wanted).to_pylist()
        by_id = {row["id"]: row for row in rows}
        part = split_setting(setting)[1]
        questions = []
        for example in (example for example in examples if example.id in by_id):
            row = by_id[example.id]
            shot = _published_example(row["few_shot_example"], example) if row["few_shot_example"] else None
            questions.append(Question(example, row["instruction"] or self.instruction(example, part), shot))
        return questions

    def _shots(self, tasks: Collection[str] | None) -> dict[str, list[Example]]:
        train: dict[str, list[Example]] = defaultdict(list)
        for example in self.examples("train", "IND", tasks):
            train[example.task].append(example)
        return train


def split_setting(setting: str) -> tuple[Domain, str]:
    """Return domain and instruction part of a setting's name; raises DataError for an unknown one."""
    if setting not in SETTINGS:
        raise DataError(f"Unknown setting {setting!r}: choose from {', '.join(SETTINGS)}.")
    domain, part = setting.split("_", 1)
    assert domain in ("IND", "OOD") and part in (SINGLE, DIVERSE, UNSEEN, ONE_SHOT)
    return ("IND" if domain == "IND" else "OOD"), part


def own_files(path: Path | None) -> list[Path]:
    """Return the files that a dataset folder may have, which no command that reads it writes over."""
    names = [*(f"{split}.parquet" for split in SPLITS), PUBLISHED, MANIFEST, REJECTS, HUB_CARD]
    return [] if path is None else [path / name for name in names]


def read_dataset(path: Path) -> Dataset:
    """Open a dataset folder; raises DataError with one sentence where it is not one, or a row of it is no example."""
    manifest = path / MANIFEST
    ids: dict[str, pa.ChunkedArray] = {}
    imported = (path / PUBLISHED).is_file()
    if not manifest.is_file():
        raise DataError(f"{path} is not a dataset: it has no {MANIFEST}. Make one with `ecellm build`.")
    for split in SPLITS:
        file = path / f"{split}.parquet"
        if not file.is_file():
            raise DataError(f"The dataset {path} has no {file.name}: build it again.")
        ids[split] = check_split(file, split, imported)
    if imported:
        check_published(path / PUBLISHED, ids)
    return Dataset(path, read_manifest(manifest))


def read_manifest(file: Path) -> Manifest:
    """Read a manifest.json; raises DataError where it is none, or a value is of another type."""
    try:
        values = cast(Manifest, read_json(file))
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}: build the dataset again.") from error
    if not isinstance(values.get("seed", 0), int):
        raise DataError(f"{file}: the seed {values['seed']!r} is no whole number.")
    for key in ("counts", "dropped", "rejected"):
        counted = values.get(key, {})
        if not isinstance(counted, dict) or not all(isinstance(counts, dict) for counts in counted.values()):
            raise DataError(f"{file}: {key!r} is no object of objects.")
    if fault := json_fault(values, Manifest):
        raise DataError(f"{file}: {fault}. Build the dataset again.")
    return values


def write_dataset(
    folder: Path,
    examples: Mapping[Split, Iterable[Example]],
    manifest: Manifest,
    rejected: Iterable[Mapping[str, object]] = (),
) -> None:
    """Write the files of a dataset folder: samples by split, manifest, card, and the rejected rows, if any."""
    for split in SPLITS:
        write_split(examples[split], folder / f"{split}.parquet")
    texts = {
        REJECTS: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rejected),
        MANIFEST: json.dumps(manifest, indent=2, ensure_ascii=False) + "\n",
        HUB_CARD: hub_card(manifest),
    }
    for name, text in texts.items():
        if text:
            # A lone half of a surrogate pair, which UTF-8 cannot hold, becomes JSON's escape for it.
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")


def write_split(examples: Iterable[Example], file: Path) -> None:
    """Write samples as one Parquet file; equal samples give equal bytes."""
    rows = list(examples)
    columns = {name: [getattr(example, name) for example in rows] for name in SCHEMA.names}
    table = pa.table(columns, schema=SCHEMA)
    pq.write_table(table, file, compression="zstd")


def spread(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """Return at most `limit` of the rows, drawn by keyed hash and spread evenly over tasks, in their order.

    A task with fewer rows than its share leaves the rest to the others.
    """
    if limit is None or limit >= len(questions):
        return list(questions)
    by_task: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(questions):
        by_task[row.example.task].append(place)
    left, kept = limit, set[int]()
    groups = sorted(by_task.values(), key=len)
    for done, places in enumerate(groups):
        remaining = len(groups) - done
        share = -(-left // remaining)  # rounded up: the last tasks take what is left
        places.sort(key=lambda place: keyed_hash(seed, "limit", questions[place].example.id))
        kept.update(places[:share])
        left -= min(share, len(places))
    return [row for place, row in enumerate(questions) if place in kept]


_FIELDS = {field.name for field in fields(Example)}


def _sample(row: Mapping[str, Any], split: Split) -> Example:
    values = {name: value for name, value in row.items() if name in _FIELDS}
    for name in ("facts", "products"):
        values[name] = tuple(values.get(name) or ())
    labels = values.get("labels")
    values["labels"] = tuple(labels) if labels else None
    return Example(**{**values, "split": split})


def _published_example(text: str, question: Example) -> Example:
    """Return a published worked example as a train row; a text in no known form stands as its input."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    known = isinstance(read, dict) and isinstance(read.get("input"), str) and isinstance(read.get("output"), str)
    values = read if known else {"input": text, "output": ""}
    options = values.get("options") or None
    if options is not None and not isinstance(options, str):
        options = json.dumps(options)
    return Example("", question.task, "IND", "train", values["input"], options, values["output"])
