"""The table that `ask` writes: the user's rows and columns, with answers and probabilities as new columns."""

import json
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from ecellm.inference.run import RunCounts
from ecellm.io.files import atomic_write
from ecellm.io.journal import Entry
from ecellm.io.tables.cells import is_whole_text
from ecellm.io.tables.rows import Table
from ecellm.tasks import Task

ANSWER, PROBABILITY, SCORES, COMPLETION = "answer", "probability", "scores", "completion"


@dataclass(frozen=True)
class TableOptions:
    """What is written."""

    prefix: str = ""
    """Before the names of the new columns."""
    abstain: float | None = None
    """Answers of a lower probability are left empty, for a human."""
    scores: bool = False
    """Whether every candidate's probability is written too."""
    skip_failed: bool = False
    """Whether rows that got no answer are rejected, so that the others' answers are written."""
    text: bool = False
    """Whether the model's completion is written too."""


@dataclass
class TableCounts:
    """What a run did, and what the table holds, rows of earlier runs included."""

    run: RunCounts
    answered: int = 0
    abstained: int = 0
    unparsed: int = 0
    """Completions that are no answer; their texts stand in OUT.unparsed.jsonl."""
    near_ties: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Rejected rows, by reason."""


def rejects_file(out: Path) -> Path:
    """Return the file of the rejected rows."""
    return out.with_name(out.name + ".rejected.jsonl")


def unparsed_file(out: Path) -> Path:
    """Return the file of the completions that are no answer."""
    return out.with_name(out.name + ".unparsed.jsonl")


def new_columns(task: Task, options: TableOptions) -> dict[str, pa.DataType]:
    """Return the new columns' names and types."""
    found = {ANSWER: task.answer.column, PROBABILITY: pa.float64()}
    if options.scores:
        found[SCORES] = pa.string()
    if options.text:
        found[COMPLETION] = pa.string()
    return {options.prefix + name: kind for name, kind in found.items()}


def write_table(
    task: Task, table: Table, out: Path, journal: Path, options: TableOptions, counts: TableCounts
) -> None:
    """Write OUT, the rejected rows and the completions that are no answer from a journal, and count them.

    OUT is not written where every row is rejected.
    """
    columns = new_columns(task, options)
    with (
        _json_lines(rejects_file(out)) as rejects,
        _json_lines(unparsed_file(out)) as unparsed,
        journal.open("rb") as answers,
    ):
        places = _places(journal, counts.run.questions)

        def added() -> Iterator[list[Entry | None]]:
            for rows in table.chunks():
                values: list[Entry | None] = []
                for row in rows:
                    answers.seek(places[row.number])
                    entry = json.loads(answers.readline())
                    if "reason" in entry:
                        counts.rejected[entry["reason"]] += 1
                        rejects.write(json.dumps(entry, ensure_ascii=False) + "\n")
                    elif entry[ANSWER] is None:
                        line = {"row": row.number, COMPLETION: entry.get(COMPLETION)}
                        unparsed.write(json.dumps(line, ensure_ascii=False) + "\n")
                    values.append(None if "reason" in entry else new_values(entry, options, counts))
                yield values

        if _any_answer(journal):
            table.write(out, columns, added())
        else:
            deque(added(), maxlen=0)
    for file in (rejects_file(out), unparsed_file(out)):
        if not file.stat().st_size:
            file.unlink()


@contextmanager
def _json_lines(path: Path) -> Iterator[TextIO]:
    """Yield a file of JSON lines that is written atomically."""
    with atomic_write(path) as written, written.open("w", encoding="utf-8", errors="backslashreplace") as file:
        yield file


def _any_answer(journal: Path) -> bool:
    """Return whether a journal has an answer, and not rejected rows alone."""
    with journal.open("rb") as file:
        file.readline()  # the journal's identity
        return any("reason" not in json.loads(line) for line in file)


def new_values(entry: Entry, options: TableOptions, counts: TableCounts) -> Entry:
    """Return the new columns' values of an answered row, and count it."""
    answer, probability = entry[ANSWER], entry[PROBABILITY]
    abstains = options.abstain is not None and (probability is None or probability < options.abstain)
    counts.answered += 1
    counts.unparsed += answer is None
    counts.abstained += abstains and answer is not None
    counts.near_ties += entry["near_tie"]
    values = {ANSWER: None if abstains else answer, PROBABILITY: probability}
    if options.scores:
        values[SCORES] = None if entry[SCORES] is None else json.dumps(entry[SCORES], ensure_ascii=False)
    if options.text:
        values[COMPLETION] = entry[COMPLETION]
    return {options.prefix + name: _writable(value) for name, value in values.items()}


def _writable(value: object) -> object:
    """Return a value with a ? for half of a surrogate pair, which a model may write in an escape."""
    if isinstance(value, str):
        return value if is_whole_text(value) else value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_writable(item) for item in value]
    return {name: _writable(item) for name, item in value.items()} if isinstance(value, dict) else value


def _places(journal: Path, rows: int) -> "array[int]":
    """Return where each row's entry begins: rows that failed at first stand behind later ones."""
    places = array("q", [0]) * (rows + 1)
    with journal.open("rb") as file:
        begins = len(file.readline())  # the first line is the journal's identity
        for line in file:
            places[json.loads(line)["row"]] = begins
            begins += len(line)
    return places
