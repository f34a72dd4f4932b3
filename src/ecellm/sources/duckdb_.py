"""The workbench on DuckDB: raw files become tables in memory, which spill to a temporary folder where they must.

This file and `spark.py` are the only ones that write SQL; the sources build Ibis expressions on what they read.
"""

import glob
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from ecellm.sources.workbench import (
    EXCERPT,
    LAST,
    LONGEST_LINE,
    MOST_NUMBERED,
    NO_CHECKS,
    REPEATED,
    Check,
    Part,
    Tables,
    Workbench,
    check_header,
    full_disk,
    line_numbers,
    own_columns,
    own_delimiter,
    own_kind,
    pieces,
)

#: Where DuckDB puts what it could not read at all.
KEEP_REJECTS = "ignore_errors=true, store_rejects=true, rejects_table='reject_errors', rejects_scan='reject_scans'"
#: How DuckDB is told to take a line as it is; the delimiter is one that no text file holds.
AS_LINES = (
    "columns={'line': 'VARCHAR'}, delim='\x01\x02\x03\x04', quote='', escape='', header=false, auto_detect=false, "
    f"null_padding=true, strict_mode=false, new_line='\\n', max_line_size={LONGEST_LINE}, {KEEP_REJECTS}"
)

#: The column that says which part a row came from, by its number.
PART = "part"
#: Files read in one query: so many, and gzip files of so many bytes together, or one.
AT_ONCE, PACKED_AT_ONCE = 8, 128 << 20
#: Gzip files up to this size are unpacked to disk before they are read, which takes a third of the time that DuckDB
#: takes, and lets several threads read one file; those of two or three queries lie there at a time.
MOST_UNPACKED = 1 << 30
#: Which lines hold something, and which an object: to trim them all takes half as long as to parse them.
FILLED = "CASE WHEN line = '' OR starts_with(line, ' ') THEN trim(line) <> '' ELSE line IS NOT NULL END"
OBJECT = "CASE WHEN starts_with(line, '{') THEN true ELSE starts_with(ltrim(line), '{') END"
#: How a table's rows are taken as lines: as JSON text, which is written of those rows alone that it is asked of.
AS_OBJECTS, OBJECT_TEXT = 'SELECT "row" AS line, "row".*, NULL::VARCHAR AS problem FROM', "to_json(line)::VARCHAR"

#: How a text of the user's own becomes a value of the Store, in SQL; null where it does not.
OWN_TYPES = {
    "text": "nullif({text}, '')",
    "stars": "CASE WHEN TRY_CAST({text} AS DOUBLE) IN (1, 2, 3, 4, 5) THEN CAST({text} AS DOUBLE)::TINYINT END",
    "number": "TRY_CAST(TRY_CAST({text} AS DOUBLE) AS BIGINT)",
    "time": (
        "coalesce(TRY_CAST({text} AS BIGINT), TRY_CAST(TRY_CAST({text} AS DOUBLE) AS BIGINT), "
        "CAST(epoch(TRY_CAST({text} AS TIMESTAMPTZ)) AS BIGINT))"
    ),
    "truth": (
        "CASE WHEN lower(trim({text})) IN ('true', 't', 'yes', 'y', '1', '1.0') THEN true "
        "WHEN lower(trim({text})) IN ('false', 'f', 'no', 'n', '0', '0.0') THEN false END"
    ),
    "texts": (
        "CASE WHEN {text} LIKE '[%' THEN TRY(from_json({text}, '[\"VARCHAR\"]')) WHEN {text} <> '' THEN [{text}] END"
    ),
    "answers": (
        "CASE WHEN json_type(TRY({text}::JSON), '$[0]') = 'OBJECT' "
        'THEN TRY(from_json({text}, \'[{{"text": "VARCHAR", "helpful": "BIGINT"}}]\')) '
        "WHEN {text} LIKE '[%' THEN list_transform(TRY(from_json({text}, '[\"VARCHAR\"]')), "
        "lambda said: {{'text': said, 'helpful': NULL::BIGINT}}) "
        "WHEN {text} <> '' THEN [{{'text': {text}, 'helpful': NULL::BIGINT}}] END"
    ),
}


#: A line that DuckDB could not read at all: its number (as DuckDB counts), the reason and the text.
Line = tuple[Any, ...]
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
    """A DuckDB connection for one build, the files it read, and the rows it set aside."""

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
        self._sql("CREATE TABLE rejects (file VARCHAR, line BIGINT, reason VARCHAR, excerpt VARCHAR)")

    def json_lines(
        self,
        parts: Sequence[Part],
        structure: Mapping[str, Any],
        needed: Sequence[str],
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
    ) -> ir.Table:
        """Return JSON lines as a table; see `Workbench`."""
        keys = _text(json.dumps(dict(structure)))
        columns = ", ".join(f'"row"."{name}" AS "{name}"' for name in structure)
        wrong = " ".join(f"WHEN {_wrong_type(name, kind)} THEN '{name} has the wrong type'"
                         for name, kind in structure.items())  # fmt: skip
        missing = " ".join(
            f'WHEN "row"."{name}" IS NULL{_or_empty(name, structure[name])} THEN \'{name} is missing\''
            for name in needed
        )
        problem = (
            "CASE WHEN \"row\" IS NULL THEN 'not valid JSON' "
            f"WHEN NOT ({OBJECT}) THEN 'not a JSON object' {wrong} {missing} END"
        )
        return self._collect(
            parts,
            lambda part: (
                f"SELECT line, {columns}, {problem} AS problem FROM "
                f'(SELECT line, TRY(from_json(line, {keys})) AS "row" FROM {_lines(part.path)})'
            ),
            list(structure),
            checks,
            by,
        )

    def csv_lines(self, parts: Sequence[Part], names: Sequence[str], checks: Mapping[str, Check]) -> ir.Table:
        """Return unquoted lines as a table; see `Workbench`."""
        columns = ", ".join(f'{_trimmed(f"cells[{place}]")} AS "{name}"' for place, name in enumerate(names, 1))
        problem = f"CASE WHEN len(cells) <> {len(names)} THEN 'not {len(names)} columns' END"
        return self._collect(
            parts,
            lambda part: (
                f"SELECT line, {columns}, {problem} AS problem FROM "
                f"(SELECT line, string_split(line, ',') AS cells FROM {_lines(part.path)})"
            ),
            names,
            checks,
            (),
        )

    def csv_table(
        self,
        parts: Sequence[Part],
        names: Sequence[str],
        encoding: str,
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
    ) -> ir.Table:
        """Return quoted CSV files as a table; see `Workbench`."""
        for part in parts:
            check_header(part, names, encoding)
        columns = json.dumps(dict.fromkeys(names, "VARCHAR")).replace('"', "'")
        # One thread: DuckDB cannot divide a file with quoted line breaks safely.
        return self._collect(
            parts,
            lambda part: (
                f"{AS_OBJECTS} read_csv({_file(part.path)}, columns={columns}, header=true, delim=',', quote='\"', "
                f"escape='\"', encoding='{encoding}', auto_detect=false, parallel=false, {KEEP_REJECTS}) AS \"row\""
            ),
            names,
            checks,
            by,
            numbered=False,
            text=OBJECT_TEXT,
        )

    def parquet(
        self,
        path: Path,
        columns: Mapping[str, str],
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
        where: str = "true",
    ) -> ir.Table:
        """Return a Parquet file as a table; see `Workbench`."""
        wanted = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in columns.items())
        return self._collect(
            [Part(path)],
            lambda part: (
                f'{AS_OBJECTS} (SELECT {wanted} FROM read_parquet({_file(part.path)})) AS "row" WHERE {where}'
            ),
            list(columns),
            checks,
            by,
            numbered=False,
            text=OBJECT_TEXT,
        )

    def own(
        self, part: Part, columns: Mapping[str, tuple[str, str]], needed: Sequence[str], by: Sequence[str] = ()
    ) -> ir.Table:
        """Return a file of the user's own as a table; see `Workbench`."""
        texts = {name: f"json_extract_string(line, {_json_path(own)})" for name, (own, _) in columns.items()}
        values = {name: OWN_TYPES[kind].format(text=texts[name]) for name, (_, kind) in columns.items()}
        wrong = " ".join(
            f"WHEN coalesce({texts[name]}, '') <> '' AND ({values[name]}) IS NULL THEN '{name} has the wrong type'"
            for name in columns
        )
        missing = " ".join(f"WHEN ({values[name]}) IS NULL THEN '{name} is missing'" for name in needed)
        chosen = ", ".join(f'({value}) AS "{name}"' for name, value in values.items())
        broken = "WHEN NOT json_valid(line) OR json_type(TRY(line::JSON)) <> 'OBJECT' THEN 'not a JSON object'"

        def select(read: Part) -> str:
            kind = own_kind(read.path)
            if kind == "json":
                lines = f"SELECT line FROM {_lines(read.path)}"
            elif kind == "parquet":
                lines = f'SELECT to_json("row")::VARCHAR AS line FROM read_parquet({_file(read.path)}) AS "row"'
            else:
                columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in own_columns(read.path))
                lines = (
                    f'SELECT to_json("row")::VARCHAR AS line FROM read_csv({_file(read.path)}, header=true, '
                    f"columns={{{columns}}}, delim={_text(own_delimiter(read.path))}, quote='\"', escape='\"', "
                    f'auto_detect=false, parallel=false, {KEEP_REJECTS}) AS "row"'
                )
            good = f"CASE WHEN json_valid(line) THEN line END AS line, line AS whole FROM ({lines})"
            return (
                f"SELECT whole AS line, {chosen}, CASE {broken.replace('line', 'whole')} {wrong} {missing} END "
                f"AS problem FROM (SELECT {good})"
            )

        numbered = own_kind(pieces([part])[0].path) == "json"
        return self._collect([part], select, list(columns), NO_CHECKS, by, numbered=numbered)

    def rejected(self) -> list[dict[str, Any]]:
        """Return the rows set aside; see `Workbench`."""
        rows = self._sql(
            "SELECT file, line, reason, excerpt FROM rejects ORDER BY file, line NULLS LAST, reason, excerpt"
        ).fetchall()
        return [dict(zip(("file", "line", "reason", "excerpt"), row, strict=True)) for row in rows]

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
            return ValueError(
                f"Reading the sources took more memory than --memory allows, or more disk below {folder} than there "
                "is: allow more, free some, or set TMPDIR to a folder with more room."
            )
        if any(said in str(error) for said in ("No space left", "File too large", "Disk quota")):
            return full_disk(folder)
        return None

    def close(self) -> None:
        """Close the connection."""
        self.con.disconnect()

    def _collect(
        self,
        parts: Sequence[Part],
        select: Callable[[Part], str],
        names: Sequence[str],
        checks: Mapping[str, Check],
        by: Sequence[str],
        numbered: bool = True,
        text: str = "line",
    ) -> ir.Table:
        """Read the parts into one table, in one pass each, and move the bad rows to the rejects.

        `select` gives the SQL that reads a part: its `line`, of which `text` makes a text, the named columns, and
        `problem`, which is null where the row is good.
        """
        assert parts
        parts = pieces(parts)
        self.look(parts)
        name = self._name()
        kinds = {shared: _enumeration(part.shared[shared] for part in parts) for shared in parts[0].shared}
        into = f'CREATE TABLE "{name}" AS'
        batches = [*_together(parts), {}]
        bad: list[_Bad] = []
        # Beside the queries, which leave a processor idle now and then.
        with ThreadPoolExecutor() as beside:
            plain_files = [part.path for part in parts if not _packed(part) and part.converted_from is None]
            hashed = beside.submit(self.inspect, plain_files)
            unpacked = beside.submit(self._unpacked, batches[0])
            for some, after in pairwise(batches):
                plain = unpacked.result()
                unpacked = beside.submit(self._unpacked, after)
                there = {**some, **plain}
                self._load(into, there, select, names, kinds, checks, text)
                bad += self._bad(name, there, numbered, beside, plain)
                into = f'INSERT INTO "{name}"'
            hashed.result()
            self._take_bad(name, bad, numbered)
        if by:
            self._take_repeats(name, by, [*names, *kinds], [self.relative(part.origin) for part in parts])
        for column in (PART, "reason", "mark", "excerpt", "hint"):
            self._sql(f'ALTER TABLE "{name}" DROP COLUMN "{column}"')
        return self.con.table(name)

    def _unpacked(self, parts: Mapping[int, Part]) -> dict[int, Part]:
        """Note the gzip files among the parts, and return those that were unpacked, as parts of plain files."""
        packed = {number: part for number, part in parts.items() if _packed(part)}
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
        select: Callable[[Part], str],
        names: Sequence[str],
        kinds: Mapping[str, str],
        checks: Mapping[str, Check],
        text: str,
    ) -> None:
        """Put the parts' rows into a table with the number of their part, bad ones with reason, md5 mark and excerpt.
        `kinds` are the types of the shared values."""
        try:
            readings = []
            for number, part in parts.items():
                shared = "".join(f'{_text(part.shared[name])}::{kind} AS "{name}", ' for name, kind in kinds.items())
                place = f"{number}::SMALLINT AS {PART}"
                readings.append(f"SELECT *, {shared}{place} FROM ({select(part)})")
            self._sql(f'CREATE OR REPLACE TEMP VIEW "reading" AS {" UNION ALL ".join(readings)}')
            rows = self.con.table("reading")
            found = [(check(rows).fill_null(False), ibis.literal(reason)) for reason, check in checks.items()]
            own = ibis.cases(*found) if found else ibis.null("string")
            kept = [*names, *kinds, PART]
            judged = rows.select("line", *kept, reason=ibis.coalesce(rows.problem, own))
            columns = "".join(f'"{name}", ' for name in kept)
            # A select around Ibis's own, so that the reason is computed once.
            self._sql(
                f"{into} SELECT {columns}reason, "
                f"CASE WHEN reason IS NOT NULL THEN md5({text}) END AS mark, "
                f"CASE WHEN reason IS NOT NULL THEN left({text}, {EXCERPT}) END AS excerpt, "
                f"CASE WHEN reason IS NOT NULL THEN strlen({text}) || '|' || right({text}, {LAST}) END AS hint "
                f"FROM ({ibis.to_sql(judged, dialect='duckdb')})"
            )
        except duckdb.BinderException as error:
            raise ValueError(f"{_either(parts.values())} lacks one of the columns {', '.join(names)}.") from error
        except duckdb.Error as error:
            first = str(error).splitlines()[0].rstrip(".")
            wrong = ValueError(f"{_either(parts.values())} cannot be read: {first}. Get the file again.")
            raise self.shortage(error) or wrong from error

    def _bad(
        self, name: str, parts: Mapping[int, Part], numbered: bool, beside: Executor, plain: Mapping[int, Part]
    ) -> list[_Bad]:
        """Return what is bad of the parts, whose lines are numbered `beside`; the `plain` files go after that."""
        broken = self._broken()
        counted = self._sql(
            f"SELECT {PART}, count(*) FILTER (reason IS NULL), count(*) FILTER (reason IS NOT NULL), min(reason) "
            f'FROM "{name}" WHERE {PART} IN ({", ".join(map(str, parts))}) GROUP BY {PART}'
        ).fetchall()
        counts = {place: numbers for place, *numbers in counted}
        bad = []
        for place, part in parts.items():
            lines = broken.get(str(part.path), [])
            good, wrong, reason = counts.get(place, (0, 0, None))
            if not good:
                why = lines[0][1] if lines else reason or "it is empty"
                raise ValueError(f"{part.origin} has no usable row ({why}): is it the right file?")
            found = numbered and 0 < wrong + len(lines) <= MOST_NUMBERED
            marks = self._marks(name, place) if found else []
            numbers = beside.submit(self._numbers, part, marks, wrong, lines, found, place in plain)
            bad.append(_Bad(place, part, lines, numbers))
        return bad

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
            file, lines = _text(self.relative(one.part.origin)), one.lines
            if len(undecodable) == len(lines):
                lines = [(number, *row[1:]) for number, row in zip(undecodable, lines, strict=True)]
            elif numbered:
                lines = [(None, *row[1:]) for row in lines]
            self._reject_rows(file, lines)
            self._reject_marked(name, one.place, file, known)
        self._sql(f'DELETE FROM "{name}" WHERE reason IS NOT NULL')

    def _marks(self, name: str, place: int) -> list[tuple[str, str]]:
        """Return a part's bad lines: marks and hints."""
        bad = f'SELECT DISTINCT mark, hint FROM "{name}" WHERE reason IS NOT NULL AND {PART} = {place}'
        return [(mark, hint) for mark, hint in self._sql(bad).fetchall()]

    def _broken(self) -> dict[str, list[Line]]:
        """Return the lines that DuckDB could not read at all, by path: number (as DuckDB counts), reason, text."""
        if not self._one("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"):
            return {}
        found: dict[str, list[Line]] = {}
        for path, *row in self._sql(
            "SELECT file_path, line, lower(replace(min(error_type::VARCHAR), '_', ' ')), min(csv_line) FROM "
            "reject_errors JOIN reject_scans USING (scan_id, file_id) GROUP BY file_path, line ORDER BY line"
        ).fetchall():
            found.setdefault(path, []).append(tuple(row))
        self._sql("DROP TABLE reject_errors")
        self._sql("DROP TABLE reject_scans")
        return found

    def _take_repeats(self, name: str, by: Sequence[str], columns: Sequence[str], files: Sequence[str]) -> None:
        """Move all but the row whose `columns` have the smallest mark, for each value of the columns `by`, to the
        rejects, which name the parts' `files`."""
        key = ", ".join(f"coalesce(\"{column}\"::VARCHAR, '')" for column in by)
        row = ", ".join(f'{_text(column)}: "{column}"' for column in columns)
        file = f"list_extract([{', '.join(map(_text, files))}], {PART} + 1)"
        self._sql(
            f"CREATE TEMP TABLE repeats AS SELECT * FROM (SELECT rowid AS place, {file} AS file, "
            f'"{by[-1]}" AS excerpt, '
            f"row_number() OVER (PARTITION BY {key} ORDER BY md5(to_json({{{row}}})::VARCHAR), {file}) AS turn "
            f'FROM "{name}" WHERE ({key}) IN (SELECT ({key}) FROM "{name}" GROUP BY {key} HAVING count(*) > 1)) '
            "WHERE turn > 1"
        )
        self._sql(f"INSERT INTO rejects SELECT file, NULL, {_text(REPEATED)}, left(excerpt, {EXCERPT}) FROM repeats")
        self._sql(f'DELETE FROM "{name}" WHERE rowid IN (SELECT place FROM repeats)')
        self._sql("DROP TABLE repeats")

    def _reject_rows(self, file: str, rows: Sequence[Line]) -> None:
        lines, reasons, excerpts = ([row[place] for row in rows] for place in range(3))
        self.con.con.execute(
            f"INSERT INTO rejects SELECT {file}, unnest(?::BIGINT[]), unnest(?::VARCHAR[]), "
            f"left(unnest(?::VARCHAR[]), {EXCERPT})",
            [lines, reasons, excerpts],
        )

    def _reject_marked(self, name: str, place: int, file: str, numbers: Mapping[str, Sequence[int]]) -> None:
        """Set a part's bad rows aside; equal lines take the numbers of their places in turn."""
        known = [(mark, turn, line) for mark, lines in numbers.items() for turn, line in enumerate(lines, 1)]
        marks, turns, lines = ([row[place] for row in known] for place in range(3))
        self.con.con.execute(
            f"INSERT INTO rejects SELECT {file}, numbered.line, reason, excerpt FROM "
            f'(SELECT *, row_number() OVER (PARTITION BY mark) AS turn FROM "{name}" '
            f"WHERE reason IS NOT NULL AND {PART} = {place}) "
            "LEFT JOIN (SELECT unnest(?::VARCHAR[]) AS mark, unnest(?::BIGINT[]) AS turn, unnest(?::BIGINT[]) AS "
            "line) AS numbered USING (mark, turn)",
            [marks, turns, lines],
        )

    def _name(self) -> str:
        name = super()._name()
        self._owned[-1].append(name)
        return name

    def _one(self, sql: str) -> Any:
        return self._sql(sql).fetchall()[0][0]

    def _sql(self, sql: str) -> Any:
        return self.con.raw_sql(sql)


def _together(parts: Sequence[Part]) -> Iterator[dict[int, Part]]:
    """Give the parts by number, so many at a time as are read in one query."""
    some: dict[int, Part] = {}
    packed = 0
    for number, part in enumerate(parts):
        size = part.path.stat().st_size if _packed(part) else 0
        if some and (len(some) == AT_ONCE or packed + size > PACKED_AT_ONCE):
            yield some
            some, packed = {}, 0
        some[number] = part
        packed += size
    yield some


def _packed(part: Part) -> bool:
    return part.path.suffix == ".gz"


def _enumeration(values: Iterable[str]) -> str:
    """Return the type of a column that has only these values: a byte a row instead of a text."""
    return f"ENUM({', '.join(map(_text, sorted(set(values))))})"


def _either(parts: Iterable[Part]) -> str:
    """Return the names of files of which one is meant."""
    return " or ".join(str(part.origin) for part in parts)


def _wrong_type(name: str, kind: Any) -> str:
    """Return the SQL condition that a key's value is there but of another type; empty text counts as missing.

    The line is parsed again only where a value did not convert, or looks like an object or a list.
    """
    value = f'"row"."{name}"'
    if kind == "VARCHAR":
        look = f"json_type(line, '$.{name}') IN ('OBJECT', 'ARRAY')"
        return f"CASE WHEN starts_with({value}, '{{') OR starts_with({value}, '[') THEN {look} ELSE false END"
    there = f"coalesce(json_type(line, '$.{name}'), 'NULL') <> 'NULL' AND (line ->> '$.{name}') <> ''"
    return f"CASE WHEN {value} IS NULL THEN {there} ELSE false END"


def _trimmed(text: str) -> str:
    """Return the SQL for a text without spaces at its ends; to trim all takes many times as long as to look."""
    return f"CASE WHEN starts_with({text}, ' ') OR ends_with({text}, ' ') THEN trim({text}) ELSE {text} END"


def _or_empty(name: str, kind: Any) -> str:
    return f' OR "row"."{name}" = \'\'' if kind == "VARCHAR" else ""


def _lines(path: Path) -> str:
    """Return the SQL for a file's lines that hold something."""
    return f"(SELECT line FROM read_csv({_file(path)}, {AS_LINES}) WHERE {FILLED})"


def _file(path: Path) -> str:
    """Return a path as SQL text; marks of a pattern in it stand for themselves."""
    return _text(glob.escape(str(path)))


def _json_path(name: str) -> str:
    """Return the JSON path of a key, as SQL text."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return _text(f'$."{quoted}"')


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
