"""Checks of a user's table before a model is loaded."""

from collections.abc import Sequence
from pathlib import Path

from ecellm.errors import ConfigError, DataError
from ecellm.inference.row_questions import missing, needs
from ecellm.inference.run import failed_file
from ecellm.inference.table_output import TableOptions, new_columns, rejects_file, unparsed_file
from ecellm.io.tables.formats import open_table
from ecellm.io.tables.header import file_format
from ecellm.io.tables.rows import Row, Table
from ecellm.tasks import Task


def checked_table(task: Task, source: Path, out: Path, options: TableOptions, overwrite: bool = False) -> Table:
    """Return the table of questions, checked.

    Raises DataError where the table cannot be read, lacks a column or has one of the new columns already, and
    ConfigError where `out` is there or of another format and where answers have no probability to abstain by.
    """
    table = open_table(source)
    if out.exists() and out.samefile(source):
        raise ConfigError(f"{out} is the input itself: name another output.")
    for beside in (rejects_file(out), unparsed_file(out), failed_file(out)):
        if beside.exists() and beside.samefile(source):
            raise ConfigError(f"{source} is where {out} puts notes, which a run replaces: name another output.")
    if _format(out) != _format(source):
        raise ConfigError(f"{out} should end as {source.name} does: the answers are written in the input's format.")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists already: name another output, or give --overwrite.")
    check_abstain(task, options.abstain)
    columns = _columns(source, table)
    _check_columns(task, source, columns)
    taken = [name for name in new_columns(task, options) if name in columns]
    if taken:
        raise DataError(f"{source} has a column {taken[0]} already: give a --prefix for the new columns.")
    return table


def check_abstain(task: Task, abstain: float | None) -> None:
    """Raise ConfigError where answers have no probability to abstain by."""
    if abstain is not None and not task.answer.is_multiple_choice:
        raise ConfigError(f"{task.name}'s answers are written and have no probability: leave --abstain out.")


def _columns(source: Path, table: Table) -> list[str]:
    """Return the names of a table's columns, of every row where rows have names of their own; raises DataError where
    no row can be read."""
    names: dict[str, None] = {}
    first: Row | None = None
    for rows in table.chunks():
        first = first or next(iter(rows), None)
        for row in rows:
            names |= {} if row.fault else dict.fromkeys(row.values)
        if names and not table.has_own_names:
            break
    if first is None:
        raise DataError(f"{source} has no rows.")
    if not names:
        raise DataError(f"{source} has no row that can be read; of the first, {first.fault}")
    return list(names)


def _check_columns(task: Task, source: Path, columns: Sequence[str]) -> None:
    """Raise DataError where a needed column is lacking, with what may be wrong with the file."""
    lacking = missing(task, columns)
    if not lacking:
        return
    if any("\ud800" <= sign <= "\udfff" for name in columns for sign in name):
        raise DataError(f"{source} is not in UTF-8, as its first line shows: save it in UTF-8.")
    raise DataError(
        f"{source} has no column {' and no column '.join(lacking)}; it has {', '.join(columns)}, and "
        f"{task.name} takes {needs(task)}."
    )


def _format(path: Path) -> str:
    """Return a file's format; comma- and tab-separated files are two."""
    found = file_format(path)
    return path.name.removesuffix(".gz").rpartition(".")[2].lower() if found == "csv" else found
