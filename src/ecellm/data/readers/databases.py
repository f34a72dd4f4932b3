"""Tables of a database: its columns, and a copy of some of them as Parquet, made in bounded memory.

PostgreSQL is read by Arrow's own driver (ADBC), which streams; SQLite files by Python's, value by value, since any
column there may hold anything; databases of which a backend of Ibis is installed, by Ibis. Nothing is written to a
database, and no message holds a password.
"""

import os
import re
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.common.exceptions import IbisError, TableNotFound

from ecellm.errors import DataError
from ecellm.io.files import NO_ROOM, check_is_file

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

INSTALL = "PostgreSQL needs Arrow's driver: pip install 'ecellm[postgres]'."
#: A URL with a password, in front of the host or among the parameters.
PASSWORD = re.compile(r"://[^/@]*:[^/@]+@|[?&](?:ssl)?password=", re.IGNORECASE)
POSTGRES, SQLITE = ("postgres://", "postgresql://"), "sqlite://"
#: Rows fetched at a time, where the driver does not choose.
ROWS_AT_ONCE = 50_000
#: One part of a qualified name: in quotation marks, or without any.
NAME = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
#: Written before each of PostgreSQL's messages.
SEVERITY = re.compile(r".*(?:FATAL|ERROR): +", re.DOTALL)


class DatabaseTable(Protocol):
    """A table, or a view, of a database that is connected."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns."""

    def batches(self, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """Return the rows' values of some columns, in bounded memory."""


def table_columns(database: str, table: str, root: Path) -> list[str]:
    """Return the names of a table's columns; raises DataError where the table cannot be read."""
    with _connected(database, table, root) as found:
        return list(found.columns)


def copy_table(database: str, table: str, columns: Sequence[str], root: Path, into: Path) -> None:
    """Write some columns of a table into a Parquet file; raises DataError where it cannot be read to its end."""
    with _connected(database, table, root) as found:
        writer = None
        try:
            for batch in found.batches(columns):
                writer = writer or pq.ParquetWriter(into, batch.schema)
                writer.write_batch(batch)
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise DataError(f"The table {table!r} of {database} has no rows.")


@dataclass(frozen=True)
class _IbisTable:
    """A table of any backend of Ibis."""

    rows: ir.Table

    @property
    def columns(self) -> Sequence[str]:
        return self.rows.columns

    def batches(self, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        return self.rows.select(*columns).to_pyarrow_batches(chunk_size=ROWS_AT_ONCE)


class _SqliteTable:
    """A table of an SQLite file. All values are fetched as the bytes of their texts, which need not be UTF-8."""

    def __init__(self, connection: sqlite3.Connection, table: str):
        self._connection = connection
        self._name = _quoted(table)
        described = connection.execute(f"SELECT * FROM {self._name} LIMIT 0").description
        self._columns = [name for name, *_ in described]

    @property
    def columns(self) -> Sequence[str]:
        return self._columns

    def batches(self, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        once = list(dict.fromkeys(columns))
        rows = self._connection.execute(f"SELECT {', '.join(map(_quoted, once))} FROM {self._name}")
        schema = pa.schema([(name, pa.binary()) for name in once])
        while fetched := rows.fetchmany(ROWS_AT_ONCE):
            values = ([_bytes(value) for value in column] for column in zip(*fetched, strict=True))
            yield pa.record_batch([pa.array(column, pa.binary()) for column in values], schema=schema)


def _bytes(value: bytes | int | float | None) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


class _PostgresTable:
    """A table of PostgreSQL. All values but lists and bytes are fetched as texts, as in a file of text."""

    def __init__(self, cursor: "Cursor", table: str):
        self._cursor = cursor
        self._name = ".".join(_quoted(part) for part in _name_parts(table))
        self._schema: pa.Schema = cursor.adbc_execute_schema(f"SELECT * FROM {self._name}")

    @property
    def columns(self) -> Sequence[str]:
        return self._schema.names

    def batches(self, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        # Texts hold what Arrow cannot: times such as infinity, numbers of any precision, enumerations.
        chosen = ", ".join(_as_text(self._schema.field(name)) for name in dict.fromkeys(columns))
        self._cursor.execute(f"SELECT {chosen} FROM {self._name}")
        return self._cursor.fetch_record_batch()


def _as_text(field: pa.Field) -> str:
    name = _quoted(field.name)
    if pa.types.is_list(field.type):
        return f"{name}::text[] AS {name}"
    return name if pa.types.is_binary(field.type) and not _is_unknown(field) else f"{name}::text AS {name}"


def _is_unknown(field: pa.Field) -> bool:
    return isinstance(field.type, pa.BaseExtensionType)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name_parts(table: str) -> list[str]:
    """Return the parts of a name such as shop.reviews or "my.shop"."reviews"."""
    if not re.fullmatch(rf"(?:{NAME.pattern})(?:\.(?:{NAME.pattern}))*", table):
        raise DataError(f'{table!r} names no table: write reviews, shop.reviews, or "my.shop"."reviews".')
    return [quoted.replace('""', '"') or plain for quoted, plain in NAME.findall(table)]


@contextmanager
def _connected(database: str, table: str, root: Path) -> Iterator[DatabaseTable]:
    """Give a database's table; raises DataError where it cannot be read."""
    address = _address(database, root)
    connected = _postgres if address.startswith(POSTGRES) else _sqlite if address.startswith(SQLITE) else _by_ibis
    with connected(address, table, f"The table {table!r} of {database} cannot be read") as found:
        yield found


@contextmanager
def _sqlite(address: str, table: str, problem: str) -> Iterator[DatabaseTable]:
    try:
        file = Path(address.removeprefix(SQLITE)).resolve()
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = bytes
            yield _SqliteTable(connection, table)
    except sqlite3.Error as error:
        raise DataError(f"{problem}: {_first_line(error)}.") from error


@contextmanager
def _by_ibis(address: str, table: str, problem: str) -> Iterator[DatabaseTable]:
    try:
        with warnings.catch_warnings():
            # Ibis 12 asks pandas 3 for an option that is on its way out.
            warnings.filterwarnings("ignore", ".*infer_string.*")
            connection = ibis.connect(address)
            yield _IbisTable(connection.table(table))
            connection.disconnect()
    except (IbisError, TableNotFound, pa.ArrowException, ImportError) as error:
        raise DataError(f"{problem}: {_first_line(error)}.") from error
    except (ValueError, OverflowError, TypeError) as error:
        raise DataError(f"{problem}: a value is not of its column's type ({_first_line(error)}).") from error


@contextmanager
def _postgres(address: str, table: str, problem: str) -> Iterator[DatabaseTable]:
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise DataError(INSTALL) from error
    _check_password(address)
    try:
        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            for setting in ("TRANSACTION READ ONLY", "datestyle = 'ISO, YMD'", "TIME ZONE 'UTC'"):
                cursor.execute(f"SET {setting}")
            yield _PostgresTable(cursor, table)
    # What breaks while rows are streamed comes from Arrow as an OSError.
    except (dbapi.Error, OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        message = SEVERITY.sub("", _first_line(error)).removeprefix("IO: ").removeprefix("[libpq] ")
        raise DataError(f"{problem}: {message}.") from error


def _first_line(error: Exception) -> str:
    text = str(error.args[0] if error.args else error)
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def _check_password(address: str) -> None:
    """Raise DataError where a sign in the password would be read as the end of it: messages would show the rest."""
    authority, _, rest = re.sub(r"^\w+://", "", address).partition("/")
    if authority.count("@") > 1 or "@" in rest or re.search(r"[?#].*@", authority):
        raise DataError(
            "The database's URL cannot be read: signs of the password such as @, /, ? and # have to be "
            "percent-encoded (@ is %40)."
        )


def _address(database: str, root: Path) -> str:
    """Return the address to connect to: of an SQLite file, a URL, or $NAME, read from the environment.

    Raises DataError where there is none, or it holds a password: what the config says stands in the manifest.
    """
    if database.startswith("$"):
        if not os.environ.get(database[1:]):
            raise DataError(f"The environment has no {database[1:]}: set it to the database's URL.")
        return os.environ[database[1:]]
    if PASSWORD.search(database):
        raise DataError('A password does not belong in the config: write database = "$NAME" and set NAME to the URL.')
    if "://" in database:
        return database
    check_is_file(root / database, "check --sources and the config's [sources.tables]")
    return f"{SQLITE}{(root / database).resolve()}"
