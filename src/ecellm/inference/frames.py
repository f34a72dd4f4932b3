"""Tables in memory: a pandas or Polars frame or Arrow table becomes rows, and gets the answers beside its columns."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from ecellm.errors import DataError
from ecellm.inference.row_questions import Answer
from ecellm.tasks import Task

ANSWER, PROBABILITY, PROBABILITIES = "answer", "probability", "probabilities"


@runtime_checkable
class Frame(Protocol):
    """A frame or table, by Arrow's stream interface, and no sequence of rows."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a capsule with the stream of its columns."""


FrameT = TypeVar("FrameT", bound=Frame)


def rows_of(frame: Frame) -> list[dict[str, object]]:
    """Return the rows of a frame or table, with None where a value is missing.

    Raises DataError where it has no rows, a column twice, or already a column that the answers would take.
    """
    names = [str(name) for name in (frame.column_names if isinstance(frame, pa.Table) else _columns(frame))]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"The table has the column {twice[0]!r} more than once.")
    table = _arrow(frame)
    if not table.num_rows:
        raise DataError("The table has no rows.")
    taken = [name for name in (ANSWER, PROBABILITY, PROBABILITIES) if name in table.column_names]
    if taken:
        raise DataError(f"The table has a column {taken[0]!r} already: rename it before asking.")
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def _columns(frame: Frame) -> Iterable[object]:
    columns: Iterable[object] = getattr(frame, "columns", ())
    return columns


def with_answers(frame: FrameT, task: Task, answers: Sequence[Answer[object]]) -> FrameT:
    """Return a copy of the frame, of its own kind, with the columns `answer`, `probability` and, as JSON text,
    `probabilities`; its own columns, types and index stay as they are."""
    columns = {
        ANSWER: pa.array([one.answer for one in answers], task.answer.column),
        PROBABILITY: pa.array([one.probability for one in answers], pa.float64()),
        PROBABILITIES: pa.array([_json(one.probabilities) for one in answers], pa.string()),
    }
    return _joined(frame, columns)


def _joined(frame: FrameT, columns: Mapping[str, pa.Array]) -> FrameT:
    if isinstance(frame, pa.Table):
        table = _arrow(frame)
        for name, values in columns.items():
            table = table.append_column(name, values)
        return table
    if (pandas := sys.modules.get("pandas")) and isinstance(frame, pandas.DataFrame):
        more = {name: pandas.Series(values.to_pylist(), frame.index, dtype=None) for name, values in columns.items()}
        return frame.assign(**more)
    if (polars := sys.modules.get("polars")) and isinstance(frame, polars.DataFrame):
        return frame.with_columns(polars.from_arrow(values).alias(name) for name, values in columns.items())
    return _joined(_arrow(frame), columns)


def _arrow(frame: Frame) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if (pandas := sys.modules.get("pandas")) and isinstance(frame, pandas.DataFrame):
        return pa.Table.from_pandas(frame, preserve_index=False)
    return pa.table(frame)


def _json(values: Mapping[str, float] | None) -> str | None:
    return None if values is None else json.dumps(values, ensure_ascii=False)
