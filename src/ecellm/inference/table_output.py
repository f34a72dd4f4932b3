"""The table that `ask` writes: the user's rows and columns, with answers and probabilities as new columns."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from ecellm.inference.run import RunCounts
from ecellm.io.files import atomic_write
from ecellm.io.journal import Entry
from ecellm.io.tables.rows import Table
from ecellm.tasks import Task

ANSWER, PROBABILITY, SCORES = "answer", "probability", "scores"


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


@dataclass
class TableCounts:
    """What a run did, and what the table holds, rows of earlier runs included."""

    run: RunCounts
    answered: int = 0
    abstained: int = 0
    unparsed: int = 0
    """Answers that the strict parser does not take."""
    near_ties: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Rejected rows, by reason."""


def rejects_file(out: Path) -> Path:
    """Return the file of the rejected rows."""
    return out.with_name(out.name + ".rejected.jsonl")


def new_columns(task: Task, options: TableOptions) -> dict[str, pa.DataType]:
    """Return the new columns' names and types."""
    found = {ANSWER: task.answer.column, PROBABILITY: pa.float64()}
    if options.scores:
        found[SCORES] = pa.string()
    return {options.prefix + name: kind for name, kind in found.items()}


def write_table(
    task: Task, table: Table, out: Path, journal: Path, options: TableOptions, counts: TableCounts
) -> None:
    """Write OUT and the rejected rows from the answers in a journal, and count them."""
    columns = new_columns(task, options)
    with (
        atomic_write(rejects_file(out)) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace") as rejects,
        journal.open("rb") as answers,
    ):

        def added() -> Iterator[list[Entry | None]]:
            places = _places(journal, counts.run.questions)
            for rows in table.chunks():
                values: list[Entry | None] = []
                for row in rows:
                    answers.seek(places[row.number])
                    entry = json.loads(answers.readline())
                    if "reason" in entry:
                        counts.rejected[entry["reason"]] += 1
                        rejects.write(json.dumps(entry, ensure_ascii=False) + "\n")
                    values.append(None if "reason" in entry else _new_values(entry, options, counts))
                yield values

        table.write(out, columns, added())
    if not counts.rejected:
        rejects_file(out).unlink()


def _new_values(entry: Entry, options: TableOptions, counts: TableCounts) -> Entry:
    answer, probability = entry[ANSWER], entry[PROBABILITY]
    abstains = options.abstain is not None and (probability is None or probability < options.abstain)
    counts.answered += 1
    counts.unparsed += answer is None
    counts.abstained += abstains and answer is not None
    counts.near_ties += entry["near_tie"]
    values = {ANSWER: None if abstains else answer, PROBABILITY: probability}
    if options.scores:
        values[SCORES] = None if entry[SCORES] is None else json.dumps(entry[SCORES], ensure_ascii=False)
    return {options.prefix + name: value for name, value in values.items()}


def _places(journal: Path, rows: int) -> "array[int]":
    """Return where each row's entry begins: rows that failed at first stand behind later ones."""
    places = array("q", [0]) * (rows + 1)
    with journal.open("rb") as file:
        begins = len(file.readline())  # the first line is the journal's identity
        for line in file:
            places[json.loads(line)["row"]] = begins
            begins += len(line)
    return places
