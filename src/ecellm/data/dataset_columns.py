"""What the Parquet files of a dataset folder must hold: columns, types, known names, unique ids and possible answers.

Checked once, when a dataset is opened, so that every command may rely on it. What would take long, such as reading
the options of every row, `ecellm check` looks at (`checks.py`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecellm.errors import DataError, EcellmError
from ecellm.tasks import TASKS, Task
from ecellm.types import DOMAINS, SETTINGS, SPLITS, Example, Split

#: Columns of a split, and those of them without which there is no example.
TEXTS = ("id", "task", "domain", "split", "input", "options", "output", "category")
LISTS = ("labels", "facts", "products")
REQUIRED = ("id", "task", "domain", "input", "options", "output")
#: Columns of what an import keeps beside its examples.
PUBLISHED_TEXTS = ("id", "split", "setting", "task_name", "split_name", "instruction", "few_shot_example")
BLANK = "blank_options"
#: So many different pairs of options and output are looked at of a task and split.
MOST_PAIRS = 1_000
EXCERPT = 80


def check_split(file: Path, split: Split, imported: bool) -> pa.ChunkedArray:
    """Return the ids of a split's examples; raises DataError where the file is damaged, or a row is no example.

    The answers of imported rows are the published file's own: nothing of them is refused.
    """
    names = _names(file, REQUIRED)
    table = _read(file, [name for name in (*TEXTS, *LISTS) if name in names])
    for name in table.column_names:
        kind = table[name].type
        _refuse_type(file, name, kind, _is_text(kind) if name in TEXTS else _is_texts(kind))
    _refuse_nulls(file, table, [name for name in REQUIRED if name != "options"])
    for name in set(LISTS) & set(table.column_names):
        if pc.list_flatten(table[name]).null_count:
            raise DataError(f"{file}: the column {name} has a list with a null in it.")
    _refuse_others(file, table, {"task": list(TASKS), "domain": DOMAINS})
    if "split" in table.column_names:
        _refuse_other_splits(file, table["split"].cast(pa.string()), split)
    if not imported:
        _refuse_answers(file, table)
    ids = table["id"].cast(pa.string())
    counts = pc.value_counts(ids.combine_chunks())
    if len(counts) < len(ids):
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0].as_py()["values"]
        rows = pc.indices_nonzero(pc.equal(ids, twice)).to_pylist()
        raise DataError(f"{file} has the id {twice!r} in row {rows[0] + 1} and in row {rows[1] + 1}: remove one.")
    return ids


def _refuse_other_splits(file: Path, named: pa.ChunkedArray, split: Split) -> None:
    """Raise DataError where a row says that it is of another split than its file; one that says nothing is not."""
    if rows := pc.indices_nonzero(pc.not_equal(named, split).fill_null(False)).to_pylist():
        raise DataError(
            f"{file}: the split of row {rows[0] + 1} is {named[rows[0]].as_py()!r}, but the file holds {split} rows: "
            "move the row, or mend its split."
        )


def _refuse_answers(file: Path, table: pa.Table) -> None:
    """Raise DataError where options are no list of texts, or an output is no answer, of tasks with classes."""
    texts = pa.table({name: table[name].cast(pa.string()) for name in ("task", "options", "output")})
    for task in TASKS.values():
        if not task.answer.has_classes:
            continue
        own = texts.filter(pc.equal(texts["task"], task.name))
        for options, output in _pairs(own):
            if fault := answer_fault(task, Example("", task.name, "IND", "test", "", options, output)):
                row = _first_row(texts, task.name, options, output)
                raise DataError(f"{file}, row {row}: {fault}. Mend the row, or build the dataset again.")


def _pairs(table: pa.Table) -> Iterator[tuple[str | None, str]]:
    """Give the first different pairs of options and output."""
    found = table.group_by(["options", "output"], use_threads=False).aggregate([])
    for batch in found.slice(0, MOST_PAIRS).to_batches():
        yield from zip(batch["options"].to_pylist(), batch["output"].to_pylist(), strict=True)


def _first_row(texts: pa.Table, task: str, options: str | None, output: str) -> int:
    """Return the number, from 1, of the first row with these texts."""
    same = pc.is_null(texts["options"]) if options is None else pc.equal(texts["options"], options).fill_null(False)
    same = pc.and_(same, pc.and_(pc.equal(texts["task"], task), pc.equal(texts["output"], output)))
    return int(pc.index(same, True).as_py()) + 1


def answer_fault(task: Task, example: Example) -> str:
    """Say why an example's output is no answer of its task; empty where it is one.

    Classes have to be written so that the published evaluation reads them too: both ways of scoring need the label.
    """
    try:
        read = task.answer.parse(example.output, example)
        if task.answer.has_classes and task.answer.parse_published(example.output) is None:
            read = None
        if read is not None:
            return ""
        candidates = task.answer.candidates(example) if task.answer.has_classes else None
    except EcellmError as error:
        return str(error).rstrip(".")
    known = f": {', '.join(candidates)[:EXCERPT]}" if candidates else ""
    return f"the output {example.output[:EXCERPT]!r} is no possible answer of {task.name}{known}"


def check_published(file: Path, ids: Mapping[str, pa.ChunkedArray]) -> None:
    """Raise DataError where the rows of an import are damaged or name no example among the `ids` of their split."""
    _names(file, (*PUBLISHED_TEXTS, BLANK))
    table = _read(file, [*PUBLISHED_TEXTS, BLANK])
    for name in PUBLISHED_TEXTS:
        _refuse_type(file, name, table[name].type, _is_text(table[name].type))
    _refuse_type(file, BLANK, table[BLANK].type, pa.types.is_boolean(table[BLANK].type))
    _refuse_nulls(file, table, ["id", "split", "setting", "task_name", BLANK])
    _refuse_others(file, table, {"split": SPLITS, "setting": SETTINGS})
    for split, known in ids.items():
        named = table["id"].cast(pa.string()).filter(pc.equal(table["split"], split))
        unknown = named.filter(pc.invert(pc.is_in(named, value_set=known.combine_chunks())))
        if len(unknown):
            raise DataError(f"{file} names the example {unknown[0].as_py()!r}, which is not in the split {split}.")


def _names(file: Path, required: Sequence[str]) -> list[str]:
    """Return a file's columns; raises DataError where one is missing or stands twice."""
    try:
        names: list[str] = pq.read_schema(file).names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet: build the dataset again.") from error
    missing = [name for name in required if name not in names]
    if missing:
        raise DataError(f"{file} has no column {', '.join(missing)}.")
    twice = [name for name in (*TEXTS, *LISTS) if names.count(name) > 1]
    if twice:
        raise DataError(f"{file} has the column {twice[0]} more than once.")
    return names


def _read(file: Path, columns: list[str]) -> pa.Table:
    try:
        table = pq.read_table(file, columns=columns)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{file} cannot be read ({first}): build the dataset again.") from error
    return table


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _is_texts(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(pa.types.is_null(kind) or (lists and _is_text(kind.value_type)))


def _refuse_type(file: Path, name: str, kind: pa.DataType, right: bool) -> None:
    if not right:
        wanted = "lists of text" if name in LISTS else "booleans" if name == BLANK else "text"
        raise DataError(f"{file}: the column {name} holds {kind}, not {wanted}.")


def _refuse_nulls(file: Path, table: pa.Table, names: Collection[str]) -> None:
    for name in names:
        if table[name].null_count:
            row = pc.indices_nonzero(table[name].is_null())[0].as_py() + 1
            raise DataError(f"{file}: the column {name} has no value in row {row}.")


def _refuse_others(file: Path, table: pa.Table, known: Mapping[str, Sequence[Any]]) -> None:
    for name, values in known.items():
        other = pc.invert(pc.is_in(table[name].cast(pa.string()), value_set=pa.array(values, pa.string())))
        if places := pc.indices_nonzero(other).to_pylist():
            found = table[name][places[0]].as_py()
            raise DataError(
                f"{file}: the {name} of row {places[0] + 1} is {found!r}; it should be one of {', '.join(values)}."
            )
