"""A table on the page: a CSV of questions, its first rows answered to look at, and all of them to download.

It is read, checked and written as by `ecellm ask`, so cells come back byte by byte. The service stores nothing of it:
the page with the first rows carries the file itself, and the form that downloads the answers sends it again. So there
is nothing to expire or to leak, and any process of the service can answer either request.

Rows wait in the service's queue like other questions, no more of them at a time than are answered together, so that
a table leaves room for others.
"""

import asyncio
import base64
import binascii
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath

from ecellm.errors import DataError, EcellmError, ServerError
from ecellm.inference.ask import answer_entry, questions_of
from ecellm.inference.row_questions import Answer, RowQuestion
from ecellm.inference.run import RunCounts
from ecellm.inference.table_checks import checked_table
from ecellm.inference.table_output import TableCounts, TableOptions, new_columns, new_values
from ecellm.io.tables.header import file_columns
from ecellm.io.tables.rows import Row
from ecellm.io.tables.text import KEPT, CsvTable
from ecellm.serving.batching import QueueFullError
from ecellm.serving.page_answer import answer_lines, percent
from ecellm.serving.service import Service
from ecellm.serving.worker import TaskQuestion
from ecellm.tasks import Task

#: The largest table, in bytes (it travels as base64 within a body of 4 MiB) and rows.
MAX_BYTES, MAX_ROWS = 2 * 2**20, 10_000
#: Rows that are shown with their answers, reasons of rejected rows, and characters of a cell.
FIRST_ROWS, MOST_REASONS, LONGEST_CELL = 20, 10, 200
#: The longest wait, in seconds, for room in the queue.
LONGEST_WAIT = 5.0
OPTIONS = TableOptions()
LARGER = "Answer larger ones with ecellm ask, which has no limit."


@dataclass(frozen=True)
class Upload:
    """A file as it came."""

    name: str
    data: bytes

    @property
    def out_name(self) -> str:
        """The name under which the answers are downloaded."""
        return f"{self.name.removesuffix('.csv')}.answers.csv"

    @property
    def encoded(self) -> str:
        """The file as a text for a form's field."""
        return base64.b64encode(self.data).decode()


@dataclass(frozen=True)
class ShownRow:
    """A row with its answer, or why it has none."""

    number: int
    cells: list[str]
    lines: list[str]
    """Of the answer."""
    percent: str
    share: float | None
    fault: str


@dataclass(frozen=True)
class Preview:
    """The first rows of a table with their answers, and what is known of the others."""

    name: str
    encoded: str
    columns: list[str]
    first: list[ShownRow]
    rows: int
    reasons: list[tuple[str, int, str]]
    """Why rows are rejected: the reason, how many, and the numbers of the first ones."""

    @property
    def has_shares(self) -> bool:
        """Whether answers have probabilities."""
        return any(row.share is not None for row in self.first)

    @property
    def rejected(self) -> int:
        """How many rows are rejected."""
        return sum(count for _, count, _ in self.reasons)


def upload_of(name: str, data: bytes) -> Upload:
    """Return a file under a name that is safe to write and to show; raises DataError for none, or one too large."""
    stem = PurePosixPath(name.replace("\\", "/")).name.removesuffix(".csv")
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in stem).strip("._")[:60]
    if not data:
        raise DataError("Choose a CSV file: none was sent, or it is empty.")
    if len(data) > MAX_BYTES:
        raise DataError(f"The file has more than {MAX_BYTES // 2**20} MiB. {LARGER}")
    return Upload(f"{kept or 'table'}.csv", data)


def decoded(name: str, text: str) -> Upload:
    """Return the file that the page with its first rows carries; raises DataError where it was changed."""
    try:
        return upload_of(name, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise DataError("The table is not as this page sent it: choose the file again.") from error


async def preview(service: Service, task: Task, upload: Upload) -> Preview:
    """Return a table's first rows with their answers.

    Raises DataError where the table cannot be used, ServerError where there is no answer, and QueueFullError.
    """
    table = await asyncio.to_thread(_read, task, upload)
    last = table.rows[:FIRST_ROWS][-1].number
    known = [(row, made) for row, made in table.questions if row.number <= last]
    found = await service.answer([TaskQuestion(task, made) for _, made in known])
    service.metrics.questions.labels(task.name).inc(len(known))
    answers = {row.number: _answer_or_fault(one) for (row, _), one in zip(known, found, strict=True)}
    columns = [column.name for column in task.form.columns if column.name in table.header] or table.header
    faults = {row.number: reason for row, reason in table.rejects}
    first = [_shown(row, columns, answers.get(row.number), faults) for row in table.rows[:FIRST_ROWS]]
    return Preview(upload.name, upload.encoded, columns, first, len(table.rows), _reasons(table.rejects))


async def answered_table(service: Service, task: Task, upload: Upload) -> AsyncIterator[bytes]:
    """Return the pieces of the table with answers, as `ecellm ask` writes it; rejected rows are left out.

    A row that the model cannot read, as its prompt does not fit, has no answer. Raises DataError at once where the
    table cannot be used, and, while it is read, ServerError where the model fails.
    """
    await asyncio.to_thread(_read, task, upload)  # before the response begins
    return _pieces(service, task, upload)


async def _pieces(service: Service, task: Task, upload: Upload) -> AsyncIterator[bytes]:
    with ExitStack() as stack:
        table = await asyncio.to_thread(stack.enter_context, _opened(task, upload))
        columns, counts = new_columns(task, OPTIONS), TableCounts(RunCounts())
        waiting: deque[Mapping[str, object] | None] = deque()
        written = table.written(columns, iter(waiting.popleft, waiting))  # as many as are put there
        yield _encoded([next(written)])
        rows = chain.from_iterable(table.chunks())
        while part := list(islice(rows, min(service.limits.rows, service.limits.part))):
            questions, _ = questions_of(task, part)
            found = await _answers(service, task, [made for _, made in questions])
            by_number = {row.number: one for (row, _), one in zip(questions, found, strict=True)}
            for row in part:
                answer = by_number.get(row.number)
                waiting.append(
                    None if answer is None else new_values(answer_entry(row, answer, OPTIONS), OPTIONS, counts)
                )
            yield _encoded(list(islice(written, len(part))))


async def _answers(service: Service, task: Task, questions: Sequence[RowQuestion]) -> list[Answer[object]]:
    """Answer the questions of a part, once there is room for them."""
    items = [TaskQuestion(task, made) for made in questions]
    service.metrics.questions.labels(task.name).inc(len(items))
    while True:
        try:
            found = await service.answer(items)
            break
        except QueueFullError as full:
            await asyncio.sleep(min(full.retry_after, LONGEST_WAIT))
    answers = [_answer_or_fault(one) for one in found]
    return [Answer(None) if isinstance(one, str) else one for one in answers]


def _answer_or_fault(found: Answer[object] | Exception) -> Answer[object] | str:
    """Return an answer, or why a row is rejected; raises what is no fault of the row."""
    if isinstance(found, EcellmError) and not isinstance(found, ServerError):
        return str(found)
    if isinstance(found, Exception):
        raise found
    return found


@contextmanager
def _opened(task: Task, upload: Upload) -> Iterator[CsvTable]:
    """Yield an upload as a table of a task's questions, in a folder that is removed; raises DataError where it is
    none, in a sentence that names the file as the user does."""
    with tempfile.TemporaryDirectory(prefix="ecellm-") as folder:
        source = Path(folder) / upload.name
        source.write_bytes(upload.data)
        try:
            taken = [name for name in new_columns(task, OPTIONS) if name in file_columns(source)]
            if taken:
                raise DataError(
                    f"{source} has a column {taken[0]} already: rename it, as the answers take this name."
                )
            table = checked_table(task, source, Path(folder) / upload.out_name, OPTIONS)
        except EcellmError as error:
            raise DataError(str(error).replace(f"{folder}/", "")) from error
        assert isinstance(table, CsvTable)
        yield table


@dataclass(frozen=True)
class _ReadTable:
    """A table that was read."""

    header: list[str]
    rows: list[Row]
    questions: list[tuple[Row, RowQuestion]]
    rejects: list[tuple[Row, str]]


def _read(task: Task, upload: Upload) -> _ReadTable:
    """Read a table; raises DataError where it cannot be used, has too many rows, or no question among them."""
    with _opened(task, upload) as table:
        rows = list(islice(chain.from_iterable(table.chunks()), MAX_ROWS + 1))
        if len(rows) > MAX_ROWS:
            raise DataError(f"The table has more than {MAX_ROWS:,} rows. {LARGER}")
        questions, rejects = questions_of(task, rows)
        if not questions:
            row, reason = rejects[0]
            raise DataError(f"No row is a valid question. Of row {row.number}: {reason}")
        return _ReadTable(table.header, rows, questions, rejects)


def _shown(
    row: Row, columns: Sequence[str], answer: Answer[object] | str | None, faults: Mapping[int, str]
) -> ShownRow:
    cells = [_cell(row.values.get(column, "")) for column in columns]
    if not isinstance(answer, Answer):
        return ShownRow(row.number, cells, [], "", None, answer or faults[row.number])
    share = answer.probability
    return ShownRow(
        row.number, cells, answer_lines(answer.answer), "" if share is None else percent(share), share, ""
    )


def _cell(value: object) -> str:
    text = str(value).encode("utf-8", KEPT).decode("utf-8", "replace")
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _reasons(rejects: Sequence[tuple[Row, str]]) -> list[tuple[str, int, str]]:
    counts = Counter(reason for _, reason in rejects)
    found = []
    for reason, count in counts.most_common(MOST_REASONS):
        numbers = [str(row.number) for row, why in rejects if why == reason]
        found.append((reason, count, ", ".join(numbers[:5]) + (", …" if count > 5 else "")))
    return found


def _encoded(texts: Sequence[str]) -> bytes:
    return "".join(texts).encode("utf-8", KEPT)
