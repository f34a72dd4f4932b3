"""Answering one task's question for every row of a user's table.

Answers are appended to OUT.part.jsonl as they come. At the end OUT is written atomically: the table's rows and
columns in their order, answers and probabilities as new columns. Rows that are no valid question are rejected
into OUT.rejected.jsonl with the reason; completions that are no answer stand in OUT.unparsed.jsonl.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from ecellm.errors import EcellmError
from ecellm.inference.row_questions import Answer, RowQuestion, answered, row_question
from ecellm.inference.run import Run, RunCounts, replies_as_they_come, write_failures
from ecellm.inference.table_output import (
    ANSWER,
    COMPLETION,
    PROBABILITY,
    SCORES,
    TableCounts,
    TableOptions,
    write_table,
)
from ecellm.io.journal import Entry, Journal
from ecellm.io.tables.rows import Row, Table
from ecellm.models.base import Before, Failure, Generator, Progress, Reply, Request, Spent
from ecellm.prompts import Prompt
from ecellm.tasks import Task


@dataclass(frozen=True)
class RowRequest:
    """A row with its question and request."""

    row: Row
    question: RowQuestion
    request: Request


def journal_file(out: Path) -> Path:
    """Return the file that holds the answers of an unfinished run."""
    return out.with_name(out.name + ".part.jsonl")


def ask(
    generator: Generator,
    task: Task,
    table: Table,
    source: Path,
    out: Path,
    run: Mapping[str, object],
    options: TableOptions | None = None,
    progress: Progress | None = None,
    before: Before | None = None,
    spent: Spent | None = None,
) -> TableCounts:
    """Answer every row and write `out`, which is done when every row has an answer or is rejected, and one has one.

    `run` identifies the model; `before` is called with all requests before a server gets the first. Raises DataError
    where an earlier run's answers are of another model or input, and EcellmError where too many questions fail or the
    run costs too much; answers until then are kept.
    """
    options = options or TableOptions()
    counts = TableCounts(RunCounts(sum(len(rows) for rows in table.chunks())))
    fields = None if task.form.fields is None else list(task.form.fields)
    identity = {**run, "task": task.name, "input": _file_hash(source), "scores": options.scores, "fields": fields}
    identity |= {COMPLETION: True} if options.text else {}
    with Journal(journal_file(out), identity, lambda entry: int(entry["row"])) as journal:
        done = journal.keys()
        if before is not None:
            before(_left(generator, task, table, done))
        journal.begin()
        counts.run.skipped = len(done)
        answers = Run[RowRequest, int](
            journal, counts.run, lambda item, reply: _entry(task, item, reply, options), progress, spent
        )
        failures: Sequence[Entry] = []
        try:
            answers.keep(_by_chunk(generator, task, table, done, answers))
            failures = [_reject(item.row, reason) for item, reason in answers.failures]
            if failures and options.skip_failed:
                journal.append(failures)
                answers.failures.clear()
                counts.run.failed.clear()
        finally:
            write_failures(out, [{"row": item.row.number, "reason": reason} for item, reason in answers.failures])
        if not answers.failures:
            write_table(task, table, out, journal.path, options, counts)
            journal.path.unlink()
    return counts


def _by_chunk(
    generator: Generator, task: Task, table: Table, done: Collection[int], answers: Run[RowRequest, int]
) -> Iterator[list[tuple[RowRequest, Reply | Failure]]]:
    """Answer chunk by chunk; rows that are no valid question are rejected."""
    for rows in table.chunks():
        if all(row.number in done for row in rows):
            continue
        items, rejects = _requests(generator, task, rows)
        answers.reject([entry for entry in rejects if entry["row"] not in done])
        fresh = [item.row.number not in done for item in items]
        for group in replies_as_they_come(generator, items, fresh, answers.halt):
            answers.reject([_reject(item.row, reply.reason) for item, reply in group if _is_invalid(reply)])
            yield [(item, reply) for item, reply in group if not _is_invalid(reply)]
        if answers.halt.is_set():
            return


def _left(generator: Generator, task: Task, table: Table, done: Collection[int]) -> Iterator[Request]:
    for rows in table.chunks():
        yield from (item.request for item in _requests(generator, task, rows)[0] if item.row.number not in done)


def questions_of(task: Task, rows: Sequence[Row]) -> tuple[list[tuple[Row, RowQuestion]], list[tuple[Row, str]]]:
    """Return the rows' questions, and the rejected rows with the reasons."""
    questions: list[tuple[Row, RowQuestion]] = []
    rejects: list[tuple[Row, str]] = []
    for row in rows:
        if row.fault:
            rejects.append((row, row.fault))
            continue
        try:
            questions.append((row, row_question(task, row.values, str(row.number))))
        except EcellmError as error:
            rejects.append((row, str(error)))
    return questions, rejects


def _requests(generator: Generator, task: Task, rows: Sequence[Row]) -> tuple[list[RowRequest], list[Entry]]:
    """Return the rows' questions with their prompts, and the entries of the rejected rows."""
    questions, rejected = questions_of(task, rows)
    rejects = [_reject(row, reason) for row, reason in rejected]
    try:
        prompts: list[Prompt | None] = list(generator.prompts([one.question for _, one in questions]))
    except EcellmError:  # one of them does not fit: which?
        prompts = []
        for row, one in questions:
            try:
                prompts += generator.prompts([one.question])
            except EcellmError as error:
                rejects.append(_reject(row, str(error)))
                prompts.append(None)
    items = [
        RowRequest(row, one, Request(one.question, prompt, one.given))
        for (row, one), prompt in zip(questions, prompts, strict=True)
        if prompt is not None
    ]
    return items, rejects


def _entry(task: Task, item: RowRequest, reply: Reply, options: TableOptions) -> Entry:
    """Return the line of an answer."""
    return answer_entry(item.row, answered(task, item.question, reply), options)


def answer_entry(row: Row, found: Answer[object], options: TableOptions) -> Entry:
    """Return the journal entry of a row's answer."""
    entry: Entry = {"row": row.number, ANSWER: found.answer, PROBABILITY: found.probability}
    entry |= {SCORES: found.probabilities} if options.scores else {}
    entry |= {COMPLETION: found.text} if options.text or found.answer is None else {}
    return {**entry, "near_tie": found.near_tie}


def _reject(row: Row, reason: str) -> Entry:
    return {"row": row.number, "reason": reason, "values": dict(row.values)}


def _is_invalid(reply: Reply | Failure) -> TypeGuard[Failure]:
    return isinstance(reply, Failure) and reply.invalid


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
