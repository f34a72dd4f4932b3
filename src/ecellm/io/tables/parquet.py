"""Tables in Parquet, read and written in batches of rows; columns keep their types."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.errors import DataError
from ecellm.io.files import atomic_write
from ecellm.io.tables import rows
from ecellm.io.tables.rows import Added, Row, check_names

#: What values raise that Python cannot hold: times, zones that are not known, texts that are no UTF-8.
UNHELD = (ValueError, OverflowError, LookupError)
LISTS = (pa.ListScalar, pa.LargeListScalar, pa.FixedSizeListScalar)


def parquet_file(path: Path) -> pq.ParquetFile:
    """Open a Parquet file. INT96 times, as Spark and Hive write them, are read as microseconds: of nanoseconds, which
    are the default, those of the years after 2262 would become others."""
    return pq.ParquetFile(path, coerce_int96_timestamp_unit="us")


class ParquetTable:
    """Columns keep their types; lists are lists."""

    has_own_names = False

    def __init__(self, path: Path):
        """Raises DataError where the file is no Parquet, or has a column twice."""
        self.path = path
        try:
            with parquet_file(path) as file:
                self.schema = file.schema_arrow
        except pa.ArrowException as error:
            raise DataError(f"{path} cannot be read as Parquet.") from error
        check_names(path, self.schema.names)

    def chunks(self) -> Iterator[list[Row]]:
        """Return the rows, at most CHUNK at a time."""
        number = 0
        for batch in self._batches():
            columns = [_values(column) for column in batch.columns]
            names = batch.schema.names
            yield [
                Row(number, dict(zip(names, cells, strict=True)))
                for number, cells in enumerate(zip(*columns, strict=True), number + 1)
            ]
            number += batch.num_rows

    def write(self, out: Path, columns: Mapping[str, pa.DataType], added: Iterable[Added]) -> None:
        """Write the rows with typed new columns."""
        new = [pa.field(name, kind) for name, kind in columns.items()]
        schema = pa.schema([*self.schema, *new], self.schema.metadata)
        with atomic_write(out) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch, values in zip(self._batches(), added, strict=True):
                there = [more for more in values if more is not None]
                made = [pa.array([more[field.name] for more in there], field.type) for field in new]
                kept = [_kept(column, values) for column in batch.columns]
                writer.write_batch(pa.record_batch([*kept, *made], schema=schema))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            with parquet_file(self.path) as file:
                yield from file.iter_batches(rows.CHUNK)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is damaged ({str(error).splitlines()[0]}). Get the file again.") from error


def _kept(column: pa.Array, values: Added) -> pa.Array:
    """Return the cells of the rows that get values."""
    is_kept = [more is not None for more in values]
    if all(is_kept):
        return column
    try:
        return column.filter(pa.array(is_kept))
    except pa.ArrowNotImplementedError:  # Arrow cannot filter every type
        return pa.array(compress(column.to_pylist(), is_kept), column.type)


def _values(column: pa.Array) -> list[object]:
    """Return a column's values; those that Python cannot hold as `_value` does."""
    try:
        return column.to_pylist()
    except UNHELD:
        return [_value(value) for value in column]


def _value(value: pa.Scalar) -> object:
    """Return a value: as a text a time beyond Python's years or of an unknown zone, as bytes a text that is no UTF-8,
    None for what is none of these."""
    try:
        return value.as_py()
    except UNHELD:
        kind = value.type
    if isinstance(value, pa.StructScalar):
        return {name: _value(part) for name, part in value.items()}
    if isinstance(value, pa.BinaryScalar):
        return value.as_buffer().to_pybytes()
    if isinstance(value, LISTS) and not pa.types.is_map(kind):
        return [_value(part) for part in value.values]
    if pa.types.is_timestamp(kind):
        value = value.cast(pa.timestamp(kind.unit))
    try:
        return value.cast(pa.string()).as_py()
    except pa.ArrowException:
        return None
