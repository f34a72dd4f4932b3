"""The published ECInstruct form: one JSON array of rows, each setting's row written out whole.

    {"instruction": .., "input": .., "options": .., "output": .., "few_shot_example": ..,
     "task": "Product_Matching", "split": "val", "setting": "IND_Diverse_Instruction"}

Here a sample is stored once and a setting is a view of it. An imported dataset keeps in `published.parquet` what
the views cannot give back: each row's instruction, worked example, spellings, and place in the file.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.data.dataset import PUBLISHED, Dataset
from ecellm.errors import DataError
from ecellm.io.files import atomic_write
from ecellm.tasks import TASKS
from ecellm.tasks.qpr import TASK as QPR
from ecellm.types import DOMAINS, ONE_SHOT, SETTINGS, SPLITS, UNSEEN, Example, Question, Split

#: Ours to theirs.
SPLIT_NAMES: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class PublishedRow:
    """What an imported row says beside its sample."""

    id: str
    """Of the sample."""
    split: str
    """Of the sample, as we name it."""
    setting: str
    task_name: str
    """As the file spells it."""
    split_name: str | None
    """As the file spells it; None where the file does not say."""
    instruction: str | None
    few_shot_example: str | None
    blank_options: bool
    """Whether the file has an empty text for options, rather than nothing."""


def write_published(rows: Sequence[PublishedRow], file: Path) -> None:
    """Write the rows in file order."""
    names = [field.name for field in fields(PublishedRow)]
    kinds = {"blank_options": pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    pq.write_table(pa.table(columns, schema=schema), file, compression="zstd")


def export(dataset: Dataset, out: Path, authors_names: bool = False) -> int:
    """Write the dataset's rows as a published JSON file and return their number.

    With `authors_names` tasks are named as by `authors_name`, whatever an imported file called them. Raises
    DataError where `out` exists.
    """
    if out.exists():
        raise DataError(f"{out} exists already: name another file, or remove it first.")
    count = 0
    with atomic_write(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for count, row in enumerate(published_rows(dataset, authors_names), start=1):
            file.write(("[\n" if count == 1 else ",\n") + json.dumps(row))
        file.write("\n]\n" if count else "[]\n")
    return count


def write_labels(dataset: Dataset, out: Path) -> int:
    """Write the ESCI labels of the QPR test rows as the published list of lists; return their number.

    Raises DataError where `out` exists or a row has no labels.
    """
    if out.exists():
        raise DataError(f"{out} exists already: name another file, or remove it first.")
    rows = dataset.examples("test", "IND", [QPR.name])
    if any(row.labels is None for row in rows):
        raise DataError(f"{dataset.path} has QPR rows without labels: import them with --qpr-labels.")
    with atomic_write(out) as temporary:
        temporary.write_text(json.dumps([list(row.labels or ()) for row in rows]) + "\n", encoding="utf-8")
    return len(rows)


def authors_name(task: str) -> str:
    """Return a task's name as the authors' own files and evaluation spell it; three of them do not match the paper's.

    `task` is the abbreviation.
    """
    known = TASKS[task]
    return known.aliases[0] if known.aliases else known.title


def published_rows(dataset: Dataset, authors_names: bool = False) -> Iterator[dict[str, str | None]]:
    """Yield the published rows: an imported dataset's as they were, else setting by setting, split by split.

    Single and diverse instructions have all splits, unseen ones and the 1-shot setting test rows only.
    """
    if dataset.is_imported:
        yield from _imported_rows(dataset, authors_names)
        return
    for setting in SETTINGS:
        tested_only = setting.endswith((UNSEEN, ONE_SHOT))
        for split in SPLITS[-1:] if tested_only else SPLITS:
            for question in dataset.view(setting, split):
                yield _row(question, setting, authors_names)


def _row(question: Question, setting: str, authors_names: bool) -> dict[str, str | None]:
    example = question.example
    return {
        "instruction": question.instruction,
        "input": example.input,
        "options": example.options,
        "output": example.output,
        "few_shot_example": None if question.shot is None else _example(question.shot),
        "task": authors_name(example.task) if authors_names else TASKS[example.task].title,
        "split": SPLIT_NAMES[example.split],
        "setting": setting,
    }


def _example(shot: Example) -> str:
    """Return a worked example as the published JSON text."""
    options = {} if shot.options is None else {"options": shot.options}
    return json.dumps({"input": shot.input, **options, "output": shot.output})


def _imported_rows(dataset: Dataset, authors_names: bool) -> Iterator[dict[str, str | None]]:
    examples = {
        example.id: example for split in SPLITS for domain in DOMAINS for example in dataset.examples(split, domain)
    }
    names = [field.name for field in fields(PublishedRow)]
    for batch in pq.ParquetFile(dataset.path / PUBLISHED).iter_batches(columns=names):
        for values in batch.to_pylist():
            row = PublishedRow(**values)
            example = examples[row.id]
            yield {
                "instruction": row.instruction,
                "input": example.input,
                "options": "" if row.blank_options else example.options,
                "output": example.output,
                "few_shot_example": row.few_shot_example,
                "task": authors_name(example.task) if authors_names else row.task_name,
                "split": row.split_name,
                "setting": row.setting,
            }
