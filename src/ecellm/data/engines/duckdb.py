"""The workbench on DuckDB: raw files become tables in memory, which spill to a temporary folder where they must.

Only the engines write SQL; readers build Ibis expressions on what they read.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from ecellm.data.convert import Rejection
from ecellm.data.engines.base import (
    AS_IT_IS,
    MOST_NUMBERED,
    Check,
    Part,
    RejectedRow,
    Structure,
    Tables,
    Workbench,
    either,
    full_disk,
    judged,
    no_usable_row,
    pieces,
)
from ecellm.data.engines.duckdb_rejects import PART, DuckRejects, Line
from ecellm.data.engines.duckdb_sql import (
    AS_OBJECTS,
    OBJECT,
    OBJECT_TEXT,
    enumeration,
    file_text,
    lines_of,
    or_empty,
    quoted,
    trimmed,
    wrong_type,
)
from ecellm.data.engines.line_numbers import LAST, line_numbers
from ecellm.errors import DataError
from ecellm.io.tables.lines import EXCERPT

#: Gzip files up to this size are unpacked to disk before they are read, which takes a third of the time that DuckDB
#: takes, and lets several threads read one file; those of two or three queries lie there at a time.
MOST_UNPACKED = 1 << 30
#: Files read in one query: so many, and gzip files of so many bytes together, or one.
AT_ONCE, PACKED_AT_ONCE = 8, 128 << 20
#: The numbers of bad lines by mark, and those of lines that are not UTF-8.
Numbers = tuple[Mapping[str, Sequence[int]], Sequence[int]]


@dataclass(frozen=True)
class _Bad:
    """What is bad of one part."""

    place: int
    part: Part
    lines: Sequence[Line]
    numbers: Future[Numbers]


class DuckWorkbench(Workbench):
    """A DuckDB connection for one build, the files it read, and the rows it rejected."""

    def __init__(self, root: Path, temporary: Path, memory_limit: str = "4GB"):
        """What does not fit into `memory_limit`, such as "4GB", is spilled to `temporary`."""
        super().__init__(root, temporary)
        self.con = ibis.duckdb.connect(":memory:", memory_limit=memory_limit, temp_directory=str(temporary / "spill"))
        self._sql("SET preserve_insertion_order = false")
        self._sql("SET enable_progress_bar = false")
        # Nothing is kept beyond the build: to compress tables that lie in memory is time lost.
        self._sql("SET checkpoint_threshold = '1TB'")
        self._sql("SET TimeZone = 'UTC'")
        self._owned: list[list[str]] = [[]]
        self._rejects = DuckRejects(self.con)

    def _json_sql(self, structure: Structure, needed: Sequence[str], path: Path) -> str:
        keys = quoted(json.dumps(dict(structure)))
        columns = ", ".join(f'"row"."{name}" AS "{name}"' for name in structure)
        wrong = " ".join(f"WHEN {wrong_type(name, kind)} THEN '{name} has the wrong type'"
                         for name, kind in structure.items())  # fmt: skip
        missing = " ".join(
            f'WHEN "row"."{name}" IS NULL{or_empty(name, structure[name])} THEN \'{name} is missing\''
            for name in needed
        )
        return (
            f"SELECT line, {columns}, CASE WHEN \"row\" IS NULL THEN 'not valid JSON' "
            f"WHEN NOT ({OBJECT}) THEN 'not a JSON object' {wrong} {missing} END AS problem FROM "
            f'(SELECT line, TRY(from_json(line, {keys})) AS "row" FROM {lines_of(path)})'
        )

    def _csv_sql(self, names: Sequence[str], path: Path) -> str:
        columns = ", ".join(f'{trimmed(f"cells[{place}]")} AS "{name}"' for place, name in enumerate(names, 1))
        return (
            f"SELECT line, {columns}, CASE WHEN len(cells) <> {len(names)} THEN 'not {len(names)} columns' END "
            f"AS problem FROM (SELECT line, string_split(line, ',') AS cells FROM {lines_of(path)})"
        )

    def _parquet_sql(self, columns: Mapping[str, str], where: str, path: Path) -> str:
        wanted = ", ".join(
            f'CAST("{name}" AS {kind}) AS "{name}"' if kind != AS_IT_IS else f'"{name}"'
            for name, kind in columns.items()
        )
        return f'{AS_OBJECTS} (SELECT {wanted} FROM read_parquet({file_text(path)})) AS "row" WHERE {where}'

    def _reject(self, file: str, rejections: Sequence[Rejection]) -> None:
        self._rejects.add(quoted(file), [(one.line, one.reason, one.excerpt) for one in rejections])

    def rejected(self) -> list[RejectedRow]:
        """Return the rejected rows; see `Workbench`."""
        rows = self._sql(
            "SELECT file, line, reason, excerpt FROM rejects ORDER BY file, line NULLS LAST, reason, excerpt"
        ).fetchall()
        return [RejectedRow(file=file, line=line, reason=reason, excerpt=text) for file, line, reason, text in rows]

    def keep(self, table: ir.Table) -> ir.Table:
        """Compute an expression once and return the table that holds it."""
        name = self._name()
        self._sql(f'CREATE TABLE "{name}" AS {ibis.to_sql(table, dialect="duckdb")}')
        return self.con.table(name)

    def given(self, rows: pa.Table) -> ir.Table:
        """Return a few rows of our own as a table."""
        name = self._name()
        self.con.con.register("given", rows)
        self._sql(f'CREATE TABLE "{name}" AS FROM given')
        self.con.con.unregister("given")
        return self.con.table(name)

    def forget(self, table: ir.Table, *columns: str) -> None:
        """Drop a kept table, or columns of it."""
        for column in columns:
            self._sql(f'ALTER TABLE "{table.get_name()}" DROP COLUMN "{column}"')
        if not columns:
            self._sql(f'DROP TABLE "{table.get_name()}"')

    @contextmanager
    def owning(self) -> Iterator[list[str]]:
        """Note the tables that are made within; see `Engine`."""
        self._owned.append([])
        try:
            yield self._owned[-1]
        finally:
            self._owned.pop()

    def drop(self, names: Sequence[str]) -> None:
        """Let go of tables that were noted, where they are still there."""
        for name in names:
            self._sql(f'DROP TABLE IF EXISTS "{name}"')

    def short(self) -> bool:
        """Say whether half of the memory is taken, or some of the disk."""
        taken = "sum(memory_usage_bytes) > parse_formatted_bytes(current_setting('memory_limit')) / 2"
        return bool(self._one(f"SELECT sum(temporary_storage_bytes) > 0 OR {taken} FROM duckdb_memory()"))

    def again(self, read: Callable[[], Tables]) -> Tables:
        """Read once more; see `Workbench`."""
        last = self._one("SELECT coalesce(max(rowid), -1) FROM rejects")
        found = read()
        self._sql(f"DELETE FROM rejects WHERE rowid > {last}")
        return found

    def stop(self) -> None:
        """End the query that runs, if any."""
        self.con.con.interrupt()

    def shortage(self, error: Exception) -> BaseException | None:
        """Return what an error really is; see `Workbench`."""
        folder = self.temporary.parent
        if isinstance(error, duckdb.OutOfMemoryException):
            return DataError(
                f"Reading the sources took more memory than --memory allows, or more disk below {folder} than there "
                "is: allow more, free some, or set TMPDIR to a folder with more room."
            )
        if any(sign in str(error) for sign in ("No space left", "File too large", "Disk quota")):
            return full_disk(folder)
        return None

    def close(self) -> None:
        """Close the connection."""
        self.con.disconnect()

    def _collect(
        self,
        parts: Sequence[Part],
        select: Callable[[Path], str],
        names: Sequence[str],
        checks: Mapping[str, Check],
        by: Sequence[str],
        numbered: bool = True,
    ) -> ir.Table:
        """Read the parts into one table, in one pass each, and move the bad rows to the rejects."""
        assert parts
        parts = pieces(parts)
        self.look(parts)
        name = self._name()
        kinds = {shared: enumeration(part.shared[shared] for part in parts) for shared in parts[0].shared}
        into = f'CREATE TABLE "{name}" AS'
        batches = [*file_batches(parts), {}]
        bad: list[_Bad] = []
        # Beside the queries, which leave a processor idle now and then.
        with ThreadPoolExecutor() as beside:
            plain_files = [part.path for part in parts if not is_gzipped(part) and part.converted_from is None]
            hashed = beside.submit(self.inspect, plain_files)
            unpacked = beside.submit(self._unpacked, batches[0])
            for some, after in pairwise(batches):
                plain = unpacked.result()
                unpacked = beside.submit(self._unpacked, after)
                there = {**some, **plain}
                self._load(into, there, select, names, kinds, checks, "line" if numbered else OBJECT_TEXT)
                bad += self._bad(name, there, numbered, beside, plain)
                into = f'INSERT INTO "{name}"'
            hashed.result()
            self._take_bad(name, bad, numbered)
        if by:
            self._rejects.take_repeats(name, by, [*names, *kinds], [self.relative(part.origin) for part in parts])
        for column in (PART, "reason", "mark", "excerpt", "hint"):
            self._sql(f'ALTER TABLE "{name}" DROP COLUMN "{column}"')
        return self.con.table(name)

    def _unpacked(self, parts: Mapping[int, Part]) -> dict[int, Part]:
        """Note the gzip files among the parts, and return those that were unpacked, as parts of plain files."""
        packed = {number: part for number, part in parts.items() if is_gzipped(part)}
        plain = {
            number: replace(part, path=self.temporary / f"{number}-{part.path.stem}", converted_from=part.path)
            for number, part in packed.items()
            if part.path.stat().st_size <= MOST_UNPACKED
        }
        self.inspect([part.path for part in packed.values()], {part.origin: part.path for part in plain.values()})
        return plain

    def _load(
        self,
        into: str,
        parts: Mapping[int, Part],
        select: Callable[[Path], str],
        names: Sequence[str],
        kinds: Mapping[str, str],
        checks: Mapping[str, Check],
        text: str,
    ) -> None:
        """Put the parts' rows into a table with the number of their part, bad ones with reason, md5 mark and excerpt.
        `kinds` are the types of the shared values; `text` makes a text of a row's `line`."""
        try:
            readings = []
            for number, part in parts.items():
                shared = "".join(f'{quoted(part.shared[name])}::{kind} AS "{name}", ' for name, kind in kinds.items())
                place = f"{number}::SMALLINT AS {PART}"
                readings.append(f"SELECT *, {shared}{place} FROM ({select(part.path)})")
            self._sql(f'CREATE OR REPLACE TEMP VIEW "reading" AS {" UNION ALL ".join(readings)}')
            rows = judged(self.con.table("reading"), checks, [*names, *kinds, PART])
            columns = "".join(f'"{name}", ' for name in (*names, *kinds, PART))
            # A select around Ibis's own, so that the reason is computed once.
            self._sql(
                f"{into} SELECT {columns}reason, "
                f"CASE WHEN reason IS NOT NULL THEN md5({text}) END AS mark, "
                f"CASE WHEN reason IS NOT NULL THEN left({text}, {EXCERPT}) END AS excerpt, "
                f"CASE WHEN reason IS NOT NULL THEN strlen({text}) || '|' || right({text}, {LAST}) END AS hint "
                f"FROM ({ibis.to_sql(rows, dialect='duckdb')})"
            )
        except duckdb.Error as error:
            first = str(error).splitlines()[0].rstrip(".")
            wrong = DataError(f"{either(parts.values())} cannot be read: {first}. Get the file again.")
            raise self.shortage(error) or wrong from error

    def _bad(
        self, name: str, parts: Mapping[int, Part], numbered: bool, beside: Executor, plain: Mapping[int, Part]
    ) -> list[_Bad]:
        """Return what is bad of the parts, whose lines are numbered `beside`; the `plain` files go after that."""
        broken = self._rejects.take_unreadable()
        counted = self._sql(
            f"SELECT {PART}, count(*) FILTER (reason IS NULL), count(*) FILTER (reason IS NOT NULL) "
            f'FROM "{name}" WHERE {PART} IN ({", ".join(map(str, parts))}) GROUP BY {PART}'
        ).fetchall()
        counts = {place: numbers for place, *numbers in counted}
        bad = []
        for place, part in parts.items():
            lines = broken.get(str(part.path), [])
            good, wrong = counts.get(place, (0, 0))
            if not good:
                raise no_usable_row(part, lines[0][1:] if lines else self._commonest(name, place))
            found = numbered and 0 < wrong + len(lines) <= MOST_NUMBERED
            marks = self._marks(name, place) if found else []
            numbers = beside.submit(self._numbers, part, marks, wrong, lines, found, place in plain)
            bad.append(_Bad(place, part, lines, numbers))
        return bad

    def _commonest(self, name: str, place: int) -> tuple[str, str] | None:
        """Return the reason that most of a part's rows are bad for, and one of these rows."""
        found: tuple[str, str] | None = self._sql(
            f'SELECT reason, min(excerpt) FROM "{name}" WHERE {PART} = {place} '
            "GROUP BY reason ORDER BY count(*) DESC, reason LIMIT 1"
        ).fetchone()
        return found

    def _numbers(
        self,
        part: Part,
        bad: Sequence[tuple[str, str]],
        wrong: int,
        lines: Sequence[Line],
        numbered: bool,
        last: bool,
    ) -> Numbers:
        """Return the numbers of a part's `wrong` lines by mark, and those of its broken `lines`, where they are to be
        known; remove the file where that is the `last` of it."""
        numbers: Numbers = ({}, [])
        if numbered:
            marks, hints = ({row[place] for row in bad} for place in (0, 1))
            numbers = line_numbers(part.path, marks, hints, wrong, bool(lines))
        if last:
            self.discard(part.path)
        return numbers

    def _take_bad(self, name: str, bad: Sequence[_Bad], numbered: bool) -> None:
        """Move bad rows, and what DuckDB could not read at all, from the table to the rejects."""
        for one in bad:
            known, undecodable = one.numbers.result()
            file, lines = quoted(self.relative(one.part.origin)), one.lines
            if len(undecodable) == len(lines):
                lines = [(number, *row[1:]) for number, row in zip(undecodable, lines, strict=True)]
            elif numbered:
                lines = [(None, *row[1:]) for row in lines]
            self._rejects.add(file, lines)
            self._rejects.take_marked(name, one.place, file, known)
        self._sql(f'DELETE FROM "{name}" WHERE reason IS NOT NULL')

    def _marks(self, name: str, place: int) -> list[tuple[str, str]]:
        """Return a part's bad lines: marks and hints."""
        bad = f'SELECT DISTINCT mark, hint FROM "{name}" WHERE reason IS NOT NULL AND {PART} = {place}'
        return [(mark, hint) for mark, hint in self._sql(bad).fetchall()]

    def _name(self) -> str:
        name = super()._name()
        self._owned[-1].append(name)
        return name

    def _one(self, sql: str) -> object:
        return self._sql(sql).fetchall()[0][0]

    def _sql(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self.con.raw_sql(sql)


def file_batches(parts: Sequence[Part]) -> Iterator[dict[int, Part]]:
    """Yield the parts by number, so many at a time as are read in one query."""
    some: dict[int, Part] = {}
    packed = 0
    for number, part in enumerate(parts):
        size = part.path.stat().st_size if is_gzipped(part) else 0
        if some and (len(some) == AT_ONCE or packed + size > PACKED_AT_ONCE):
            yield some
            some, packed = {}, 0
        some[number] = part
        packed += size
    yield some


def is_gzipped(part: Part) -> bool:
    """Say whether a part's file is compressed."""
    return part.path.suffix == ".gz"
