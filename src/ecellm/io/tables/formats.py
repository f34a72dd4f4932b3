"""The formats of a user's table, inferred from the file extension."""

from collections.abc import Callable
from pathlib import Path

from ecellm.io.files import check_is_file
from ecellm.io.tables.header import file_columns, file_format
from ecellm.io.tables.lines import DAMAGED, damaged
from ecellm.io.tables.parquet import ParquetTable
from ecellm.io.tables.rows import Table
from ecellm.io.tables.text import CsvTable, JsonLines

READERS: dict[str, Callable[[Path], Table]] = {"csv": CsvTable, "json": JsonLines, "parquet": ParquetTable}


def open_table(path: Path) -> Table:
    """Return the table in a file; raises DataError where it is of no known format or not what its name says."""
    check_is_file(path)
    file_columns(path)
    reader = READERS[file_format(path)]
    try:
        return reader(path)
    except DAMAGED as error:
        raise damaged(path, error) from error
