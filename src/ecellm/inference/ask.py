"""Asking every row of a user's table one task's question.

Answers are appended to OUT.part.jsonl as they come; a run that was interrupted goes on from there. At the end OUT is
written whole: the table's rows and columns in their order, answers and probabilities as new columns. Rows that cannot
be asked are set aside in OUT.set-aside.jsonl with the reason. Rows that got no answer stand in OUT.failed.jsonl; the
next run asks them again.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa

from ecellm.files import append_whole, whole_file, written_alone
from ecellm.inference.generator import Failure, Generator, Question, Reply, Streaming, Usage
from ecellm.inference.own_rows import Put, answered, missing, needs, put
from ecellm.inference.predict import Before, Spent, batches, check_failures, write_failures
from ecellm.inference.tables import Row, Table, kind, open_table
from ecellm.prompts import Prompt
from ecellm.tasks import Task
from ecellm.tasks.answers import FreeText, Ranking, Triples

#: What divides the cells of tables that are taken for others.
DIVIDERS = (";", "\t", ",", "|")
ANSWER, PROBABILITY, SCORES = "answer", "probability", "scores"

Line = dict[str, Any]
#: Told (answered by now, rows in all).
Progress = Callable[[int, int], None]


@dataclass
class Counts:
    """What a run did."""

    rows: int = 0
    answered: int = 0
    """Rows of OUT, by this run or one before."""
    before: int = 0
    """Rows that an earlier run had answered or set aside."""
    abstained: int = 0
    unread: int = 0
    """Answers that the strict parser does not take."""
    near_ties: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Rows without an answer, by reason; the next run asks them again."""
    set_aside: Counter[str] = field(default_factory=Counter)
    """Rows that cannot be asked, by reason."""
    usage: Usage | None = None
    """The tokens of this run's answers, where a server counted them."""


@dataclass(frozen=True)
class Wanted:
    """What is to be written."""

    prefix: str = ""
    """Before the names of the new columns."""
    abstain: float | None = None
    """Answers of a lower probability are left empty, for a human."""
    scores: bool = False
    """Whether every candidate's probability is written too."""
    without_failed: bool = False
    """Whether rows that got no answer are set aside, so that the others' answers are written."""


def part_of(out: Path) -> Path:
    """Return the file that holds the answers of an unfinished run."""
    return out.with_name(out.name + ".part.jsonl")


def set_aside_of(out: Path) -> Path:
    """Return the file of the rows that cannot be asked."""
    return out.with_name(out.name + ".set-aside.jsonl")


def check(task: Task, source: Path, out: Path, wanted: Wanted, overwrite: bool = False) -> Table:
    """Return the table to ask, before any model is loaded.

    Raises ValueError where the table cannot be read, lacks a column or has one of the new columns already; where
    `out` is there or of another format; and where answers have no probability to abstain by.
    """
    table = open_table(source)
    if out.exists() and out.samefile(source):
        raise ValueError(f"{out} is the input itself: name another output.")
    if not out.parent.is_dir():
        raise ValueError(f"There is no folder {out.parent} for the output: make it, or name another.")
    if kind(out) != kind(source):
        raise ValueError(f"{out} should end as {source.name} does: the answers are written in the input's format.")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists already: name another output, or give --overwrite.")
    if wanted.abstain is not None and isinstance(task.answer, FreeText | Triples):
        raise ValueError(f"{task.name}'s answers are written and have no probability: leave --abstain out.")
    first: Sequence[Row] = next(table.chunks(), [])
    if not first:
        raise ValueError(f"{source} has no rows.")
    readable = [row for row in first if not row.fault]
    if not readable:
        raise ValueError(f"{source} has no row that can be read; of the first, {first[0].fault}")
    columns = list(dict.fromkeys(name for row in readable for name in row.values))
    _check_columns(task, source, columns)
    taken = [name for name in new_columns(task, wanted) if name in columns]
    if taken:
        raise ValueError(f"{source} has a column {taken[0]} already: give a --prefix for the new columns.")
    return table


def _check_columns(task: Task, source: Path, columns: Sequence[str]) -> None:
    """Raise ValueError where a needed column is lacking, with what may be wrong with the file."""
    lacking = missing(task, columns)
    if not lacking:
        return
    if any("\ud800" <= sign <= "\udfff" for name in columns for sign in name):
        raise ValueError(f"{source} is not in UTF-8, as its first line shows: save it in UTF-8.")
    divider = next((sign for sign in DIVIDERS if len(columns) == 1 and sign in columns[0]), None)
    if divider is not None:
        wanted = "a tab" if kind(source) == "tsv" else "','"
        raise ValueError(f"{source} has one column, {columns[0]!r}: its cells should be divided by {wanted}.")
    raise ValueError(
        f"{source} has no column {' and no column '.join(lacking)}; it has {', '.join(columns)}, and "
        f"{task.name} takes {needs(task)}."
    )


def new_columns(task: Task, wanted: Wanted) -> dict[str, pa.DataType]:
    """Return the new columns' names and types."""
    triple = pa.struct([(name, pa.string()) for name in ("attribute", "value", "source")])
    kinds = {Ranking: pa.list_(pa.string()), Triples: pa.list_(triple)}
    found = {ANSWER: kinds.get(type(task.answer), pa.string()), PROBABILITY: pa.float64()}
    if wanted.scores:
        found[SCORES] = pa.string()
    return {wanted.prefix + name: kind for name, kind in found.items()}


def ask(
    generator: Generator,
    task: Task,
    table: Table,
    source: Path,
    out: Path,
    run: Mapping[str, Any],
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    before: Before | None = None,
    spent: Spent | None = None,
) -> Counts:
    """Ask every row and write `out`, which is only done when every row has an answer or is set aside.

    `run` says whose answers these are; `before` is told all that a server is about to be asked. Raises ValueError
    where an earlier run's answers are of another one, and where asking on is useless or costs too much; what was
    answered until then is kept.
    """
    wanted = wanted or Wanted()
    counts = Counts(rows=sum(len(rows) for rows in table.chunks()))
    part = part_of(out)
    fields = None if task.form.fields is None else list(task.form.fields)
    identity = {**run, "task": task.name, "input": _file_hash(source), "scores": wanted.scores, "fields": fields}
    with ExitStack() as alone:
        there = part.exists()
        if there:
            alone.enter_context(written_alone(part))
        done = _answered_before(part, identity)
        if before is not None:
            before(_left(generator, task, table, done))
        if not there:
            alone.enter_context(written_alone(part, empty=True))
        if not part.stat().st_size:
            _append(part, [{"run": identity}])
        counts.before = len(done)
        failures: list[Line] = []
        try:
            _keep(generator, task, table, part, done, wanted, counts, failures, progress, spent)
            if failures and wanted.without_failed:
                _append(part, failures)
                failures.clear()
                counts.failed.clear()
        finally:
            write_failures(out, [{"row": line["row"], "reason": line["reason"]} for line in failures])
        if not failures:
            _finish(task, table, out, part, wanted, counts)
    return counts


def _keep(
    generator: Generator,
    task: Task,
    table: Table,
    part: Path,
    done: Collection[int],
    wanted: Wanted,
    counts: Counts,
    failures: list[Line],
    progress: Progress | None,
    spent: Spent | None,
) -> None:
    """Ask what is left and append the answers as they come; rows that get none are added to `failures`.

    Raises ValueError as `ask` does.
    """
    now = counts.before
    in_a_row, last = 0, ""
    for rows in table.chunks():
        if all(row.number in done for row in rows):
            continue
        questions, faults = _questions(generator, task, rows)
        _append(part, [fault for fault in faults if fault["row"] not in done])
        puts = {question.asked.sample.id: one for question, one in questions}
        values = {row.number: row for row in rows}
        now = now + sum(fault["row"] not in done for fault in faults)
        if progress is not None:
            progress(now, counts.rows)
        halt = Event()
        reason: ValueError | None = None
        for group in _replies(generator, [question for question, _ in questions], done, halt):
            lines = []
            for question, reply in group:
                if isinstance(reply, Failure):
                    counts.failed[reply.reason] += 1
                    failures.append(_fault(values[_number(question)], reply.reason))
                    in_a_row, last = in_a_row + 1, reply.reason
                    continue
                in_a_row = 0
                if reply.usage is not None:
                    counts.usage = reply.usage + counts.usage
                said = answered(task, puts[question.asked.sample.id], reply)
                line: Line = {"row": _number(question), ANSWER: said.answer, PROBABILITY: said.probability}
                line |= {SCORES: said.scores} if wanted.scores else {}
                lines.append({**line, "near_tie": said.near_tie})
            _append(part, lines)
            now += len(lines)
            if progress is not None:
                progress(now, counts.rows)
            if reason is not None:
                continue
            try:
                check_failures(in_a_row, last)
                if spent is not None and counts.usage is not None:
                    spent(counts.usage)
            except ValueError as error:  # what is under way is paid for: it is kept before the run ends
                reason = error
                halt.set()
        if reason is not None:
            raise reason
    if progress is not None:
        progress(now, counts.rows)


def _replies(
    generator: Generator, questions: Sequence[Question], done: Collection[int], halt: Event
) -> Iterator[list[tuple[Question, Reply | Failure]]]:
    """Ask what is left: one by one as answers come, or in batches."""
    if isinstance(generator, Streaming):
        fresh = [question for question in questions if _number(question) not in done]
        for place, reply in generator.stream(fresh, halt):
            yield [(fresh[place], reply)]
        return
    for batch in batches(questions):
        if any(_number(question) not in done for question in batch) and not halt.is_set():
            # Rows answered before are asked again with their batch: a row's neighbours are what they always were.
            replies = zip(batch, generator.reply(batch), strict=True)
            yield [(question, reply) for question, reply in replies if _number(question) not in done]


def _left(generator: Generator, task: Task, table: Table, done: Collection[int]) -> Iterator[Question]:
    for rows in table.chunks():
        for question, _ in _questions(generator, task, rows)[0]:
            if _number(question) not in done:
                yield question


def _questions(
    generator: Generator, task: Task, rows: Sequence[Row]
) -> tuple[list[tuple[Question, Put]], list[Line]]:
    """Return the rows' questions, and the lines of those that cannot be asked."""
    puts, faults = [], []
    for row in rows:
        try:
            if row.fault:
                raise ValueError(row.fault)
            puts.append((row, put(task, row.values, str(row.number))))
        except ValueError as error:
            faults.append(_fault(row, str(error)))
    try:
        prompts: list[Prompt | None] = list(generator.prompts([one.asked for _, one in puts]))
    except ValueError:  # one of them does not fit: which?
        prompts = []
        for row, one in puts:
            try:
                prompts += generator.prompts([one.asked])
            except ValueError as error:
                faults.append(_fault(row, str(error)))
                prompts.append(None)
    questions = [
        (Question(one.asked, prompt), one)
        for (_, one), prompt in zip(puts, prompts, strict=True)
        if prompt is not None
    ]
    return questions, faults


def _fault(row: Row, reason: str) -> Line:
    return {"row": row.number, "reason": reason, "values": dict(row.values)}


def _number(question: Question) -> int:
    return int(question.asked.sample.id)


def _append(part: Path, lines: Sequence[Line]) -> None:
    append_whole(part, "".join(json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines))


def _answered_before(part: Path, identity: Mapping[str, Any]) -> set[int]:
    """Return the rows that an earlier run answered, after cutting off a torn last line."""
    if not part.exists():
        return set()
    done: set[int] = set()
    whole = 0
    with part.open("rb+") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                file.truncate(whole)
                break
            whole += len(line)
            try:
                read = json.loads(line)
                if number > 1:
                    done.add(int(read["row"]))
                    continue
                before = dict(read["run"])
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{part}, line {number} is no answer: remove the file to begin again.") from error
            different = [name for name, value in identity.items() if before.get(name) != value]
            if different:
                raise ValueError(
                    f"{part} holds answers of another {' and '.join(different)}: remove it, or name another output."
                )
    return done


def _finish(task: Task, table: Table, out: Path, part: Path, wanted: Wanted, counts: Counts) -> None:
    """Write OUT and the rows set aside; then the answers' file has served its time."""
    columns = new_columns(task, wanted)
    with (
        whole_file(set_aside_of(out)) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace") as aside,
        part.open("rb") as answers,
    ):

        def added() -> Iterator[list[Line | None]]:
            places = _places(part, counts.rows)
            for rows in table.chunks():
                values: list[Line | None] = []
                for row in rows:
                    answers.seek(places[row.number])
                    line = json.loads(answers.readline())
                    if "reason" in line:
                        counts.set_aside[line["reason"]] += 1
                        aside.write(json.dumps(line, ensure_ascii=False) + "\n")
                    values.append(None if "reason" in line else _new_values(line, wanted, counts))
                yield values

        table.write(out, columns, added())
    if not counts.set_aside:
        set_aside_of(out).unlink()
    part.unlink()


def _new_values(line: Line, wanted: Wanted, counts: Counts) -> Line:
    answer, probability = line[ANSWER], line[PROBABILITY]
    abstains = wanted.abstain is not None and (probability is None or probability < wanted.abstain)
    counts.answered += 1
    counts.unread += answer is None
    counts.abstained += abstains and answer is not None
    counts.near_ties += line["near_tie"]
    values = {ANSWER: None if abstains else answer, PROBABILITY: probability}
    if wanted.scores:
        values[SCORES] = None if line[SCORES] is None else json.dumps(line[SCORES], ensure_ascii=False)
    return {wanted.prefix + name: value for name, value in values.items()}


def _places(part: Path, rows: int) -> "array[int]":
    """Return where each row's line begins: rows that failed at first stand behind later ones."""
    places = array("q", [0]) * (rows + 1)
    with part.open("rb") as file:
        begins = len(file.readline())  # the first line says whose the answers are
        for line in file:
            places[json.loads(line)["row"]] = begins
            begins += len(line)
    return places


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
