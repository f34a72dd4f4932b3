"""Reading raw files into DuckDB: the thin layer below the sources, and the only one that writes SQL.

Every line is read as text first, so that one bad line is set aside and counted and the rest go on. Results are
tables of a temporary database that may spill to disk; the sources build Ibis expressions on them, which run on
another engine as they stand. Only this file is DuckDB's own: another engine needs another Workbench.
"""

import errno
import glob
import gzip
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

CHUNK = 1 << 20
#: DuckDB takes sixteen times this for each buffer; longer lines are set aside.
LONGEST_LINE = 4 << 20
EXCERPT = 200
MOST_SNIFFED = 10_000
#: Up to so many bad lines of a file get their line numbers; finding them takes a pass in Python.
MOST_NUMBERED = 10_000
#: The column that says which file a row came from, for rejects.
FILE = "file"
#: Where DuckDB puts what it could not read at all.
KEEP_REJECTS = "ignore_errors=true, store_rejects=true, rejects_table='reject_errors', rejects_scan='reject_scans'"
#: How DuckDB is told to take a line as it is; the delimiter is one that no text file holds.
AS_LINES = (
    "columns={'line': 'VARCHAR'}, delim='\x01\x02\x03\x04', quote='', escape='', header=false, auto_detect=false, "
    f"null_padding=true, strict_mode=false, new_line='\\n', max_line_size={LONGEST_LINE}, {KEEP_REJECTS}"
)

#: How a table's rows are taken as lines: as JSON text.
AS_OBJECTS = 'SELECT to_json("row")::VARCHAR AS line, "row".*, NULL::VARCHAR AS problem FROM'

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
        "CASE WHEN lower({text}) IN ('true', 't', 'yes', 'y', '1') THEN true "
        "WHEN lower({text}) IN ('false', 'f', 'no', 'n', '0') THEN false END"
    ),
    "texts": (
        "CASE WHEN {text} LIKE '[%' THEN TRY(from_json({text}, '[\"VARCHAR\"]')) WHEN {text} <> '' THEN [{text}] END"
    ),
    "answers": (
        "CASE WHEN json_type(TRY({text}::JSON), '$[0]') = 'OBJECT' "
        'THEN TRY(from_json({text}, \'[{{"text": "VARCHAR", "helpful": "BIGINT"}}]\')) '
        "WHEN {text} LIKE '[%' THEN list_transform(TRY(from_json({text}, '[\"VARCHAR\"]')), "
        "lambda said: {{'text': said, 'helpful': 0::BIGINT}}) "
        "WHEN {text} <> '' THEN [{{'text': {text}, 'helpful': 0::BIGINT}}] END"
    ),
}

#: Says which rows of a table are bad.
Check = Callable[[ir.Table], ir.BooleanValue]
NO_CHECKS: Mapping[str, Check] = MappingProxyType({})


@dataclass(frozen=True)
class InputFile:
    """One raw file that was read."""

    path: str
    """Relative to the sources folder, with forward slashes."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """One file to read, with values that all of its rows share (such as their category)."""

    path: Path
    shared: Mapping[str, str] = field(default_factory=dict)
    converted_from: Path | None = None
    """The raw file, where `path` is a converted copy of it, line by line."""

    @property
    def origin(self) -> Path:
        """The raw file."""
        return self.converted_from or self.path


class Workbench:
    """A DuckDB connection for one build, the files it read, and the rows it set aside."""

    def __init__(self, root: Path, temporary: Path, memory_limit: str = "4GB"):
        """`root` is the sources folder; the database and what it spills lie in `temporary`; `memory_limit` is
        DuckDB's, such as "4GB"."""
        self.root = root
        self.temporary = temporary
        self.inputs: list[InputFile] = []
        self.con = ibis.duckdb.connect(
            temporary / "store.duckdb", memory_limit=memory_limit, temp_directory=str(temporary / "spill")
        )
        self._sql("SET preserve_insertion_order = false")
        self._sql("SET enable_progress_bar = false")
        self._sql("PRAGMA disable_checkpoint_on_shutdown")  # the database is thrown away
        self._sql("CREATE TABLE rejects (file VARCHAR, line BIGINT, reason VARCHAR, excerpt VARCHAR)")
        self._tables = 0

    def json_lines(
        self,
        parts: Sequence[Part],
        structure: Mapping[str, Any],
        needed: Sequence[str],
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
    ) -> ir.Table:
        """Return the objects of JSON-lines files as a table: the structure's columns (DuckDB types) and the
        parts' shared values.

        Set aside are lines that are no JSON object, hold a value of the wrong type, lack a needed key (or have
        it empty), or meet a check (reason to condition). Where columns are named in `by`, one row per value of
        them is kept: the one whose line has the smallest md5, whatever the order of the rows. Raises ValueError
        where a file is missing, damaged, empty or has no usable line.
        """
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
            f"WHEN NOT starts_with(ltrim(line), '{{') THEN 'not a JSON object' {wrong} {missing} END"
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
        """Return unquoted comma-separated lines without header as text columns, with the parts' shared values;
        lines of another width or that meet a check are set aside. Raises as `json_lines`."""
        columns = ", ".join(f'trim(cells[{place}]) AS "{name}"' for place, name in enumerate(names, 1))
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
        path: Path,
        names: Sequence[str],
        encoding: str,
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
    ) -> ir.Table:
        """Return a quoted CSV file with a header as text columns; rows that do not parse or meet a check are set
        aside, and repeats as in `json_lines`. Raises as that, and where the header is not the expected one."""
        if path.is_file():
            with path.open(encoding=encoding, errors="replace", newline="") as file:
                header = [name.strip().strip('"') for name in file.readline(CHUNK).strip().split(",")]
            if header != list(names) and path.stat().st_size:
                raise ValueError(
                    f"{path} begins with the columns {','.join(header)[:EXCERPT]!r}, not {','.join(names)!r}: is it "
                    "the right file?"
                )
        columns = json.dumps(dict.fromkeys(names, "VARCHAR")).replace('"', "'")
        # One thread: DuckDB cannot divide a file with quoted line breaks safely.
        return self._collect(
            [Part(path)],
            lambda part: (
                f"{AS_OBJECTS} read_csv({_file(part.path)}, columns={columns}, header=true, delim=',', quote='\"', "
                f"escape='\"', encoding='{encoding}', auto_detect=false, parallel=false, {KEEP_REJECTS}) AS \"row\""
            ),
            names,
            checks,
            by,
            numbered=False,
        )

    def parquet(
        self,
        path: Path,
        columns: Mapping[str, str],
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
        where: str = "true",
    ) -> ir.Table:
        """Return columns (name to DuckDB type) of a Parquet file, of the rows `where` holds; rows that meet a
        check are set aside, and repeats as in `json_lines`. Raises ValueError where the file is missing, no
        Parquet, lacks a column or has it of another type, or has no usable row."""
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
        )

    def own(self, part: Part, columns: Mapping[str, tuple[str, str]], needed: Sequence[str]) -> ir.Table:
        """Return columns of a file of the user's own (.csv, .tsv, .jsonl, .ndjson, .json lines or .parquet, text
        files also as .gz), in the Store's types: name to (the file's own name, a key of `OWN_TYPES`).

        Rows that lack a needed value or have one of another type are set aside. Raises as `json_lines`, and
        ValueError for another kind of file.
        """
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
                lines = (
                    f'SELECT to_json("row")::VARCHAR AS line FROM read_csv({_file(read.path)}, header=true, '
                    f'all_varchar=true, parallel=false, {KEEP_REJECTS}) AS "row"'
                )
            good = f"CASE WHEN json_valid(line) THEN line END AS line, line AS whole FROM ({lines})"
            return (
                f"SELECT whole AS line, {chosen}, CASE {broken.replace('line', 'whole')} {wrong} {missing} END "
                f"AS problem FROM (SELECT {good})"
            )

        numbered = own_kind(part.path) == "json"
        return self._collect([part], select, list(columns), NO_CHECKS, (), numbered=numbered)

    def own_columns(self, path: Path) -> list[str]:
        """Return the column names of a file of the user's own (of JSON lines: the keys of the first
        `MOST_SNIFFED`); raises ValueError where it cannot be read."""
        kind = own_kind(path)
        if not path.is_file():
            raise ValueError(f"There is no file {path}: check --sources and the config's [sources.tables].")
        if kind == "json":
            objects = f"SELECT line FROM {_lines(path)} WHERE json_valid(line) AND json_type(line) = 'OBJECT'"
            query = f"SELECT DISTINCT unnest(json_keys(line)) FROM ({objects} LIMIT {MOST_SNIFFED}) ORDER BY 1"
        else:
            reader = "read_parquet({})" if kind == "parquet" else "read_csv({}, header=true, all_varchar=true)"
            query = f"DESCRIBE SELECT * FROM {reader.format(_file(path))}"
        try:
            return [row[0] for row in self._sql(query).fetchall()]
        except duckdb.Error as error:
            raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from error

    def rejected(self) -> list[dict[str, Any]]:
        """Return the rows set aside (file, line, reason, excerpt), in that order; line is null where unknown."""
        rows = self._sql(
            "SELECT file, line, reason, excerpt FROM rejects ORDER BY file, line NULLS LAST, reason, excerpt"
        ).fetchall()
        return [dict(zip(("file", "line", "reason", "excerpt"), row, strict=True)) for row in rows]

    def keep(self, table: ir.Table) -> ir.Table:
        """Compute an expression once and return the table that holds it."""
        name = self._name()
        self._sql(f'CREATE TABLE "{name}" AS {ibis.to_sql(table, dialect="duckdb")}')
        return self.con.table(name)

    def close(self) -> None:
        """Close the connection."""
        self.con.disconnect()

    def relative(self, path: Path) -> str:
        """Return the path below the sources folder, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def inspect(self, paths: Sequence[Path]) -> None:
        """Note the files with their hashes.

        Raises ValueError where one is missing, empty, or a damaged gzip (DuckDB takes some of those silently).
        """
        with ThreadPoolExecutor() as pool:
            for found in pool.map(self._inspected, paths):
                if found not in self.inputs:
                    self.inputs.append(found)

    def _inspected(self, path: Path) -> InputFile:
        if not path.is_file():
            raise ValueError(f"There is no file {path}: check --sources and the config's categories.")
        if not path.stat().st_size:
            raise ValueError(f"{path} is empty. Get the file again.")
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if path.suffix == ".gz":
                check_gzip(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror or error}).") from error
        return InputFile(self.relative(path), path.stat().st_size, digest)

    def _collect(
        self,
        parts: Sequence[Part],
        select: Callable[[Part], str],
        names: Sequence[str],
        checks: Mapping[str, Check],
        by: Sequence[str],
        numbered: bool = True,
    ) -> ir.Table:
        """Read the parts into one table, in one pass each, and move the bad rows to the rejects.

        `select` gives the SQL that reads a part: its line as text, the named columns, and `problem`, which is
        null where the row is good.
        """
        assert parts
        self.inspect([part.path for part in parts if part.converted_from is None])
        name = self._name()
        for part in parts:
            into = f'CREATE TABLE "{name}" AS' if part is parts[0] else f'INSERT INTO "{name}"'
            self._load(into, part, select(part), names, checks, marked=bool(by))
            self._take_bad(name, part, numbered)
        if by:
            self._take_repeats(name, by)
        for column in (FILE, "reason", "mark", "excerpt"):
            self._sql(f'ALTER TABLE "{name}" DROP COLUMN "{column}"')
        return self.con.table(name)

    def _load(
        self,
        into: str,
        part: Part,
        select: str,
        names: Sequence[str],
        checks: Mapping[str, Check],
        marked: bool,
    ) -> None:
        """Put a part's rows into a table, bad ones with reason and excerpt, these or all with their md5 mark."""
        try:
            self._sql(f'CREATE OR REPLACE TEMP VIEW "reading" AS {select}')
            rows = self.con.table("reading")
            found = [(check(rows).fill_null(False), ibis.literal(reason)) for reason, check in checks.items()]
            own = ibis.cases(*found) if found else ibis.null("string")
            judged = rows.select("line", *names, reason=ibis.coalesce(rows.problem, own))
            columns = "".join(f'"{name}", ' for name in names)
            shared = "".join(f'{_text(value)} AS "{name}", ' for name, value in part.shared.items())
            mark = "md5(line)" if marked else "CASE WHEN reason IS NOT NULL THEN md5(line) END"
            # A select around Ibis's own, so that the reason is computed once.
            self._sql(
                f"{into} SELECT {columns}{shared}{_text(self.relative(part.origin))} AS file, reason, "
                f"{mark} AS mark, CASE WHEN reason IS NOT NULL THEN left(line, {EXCERPT}) END AS excerpt "
                f"FROM ({ibis.to_sql(judged, dialect='duckdb')}) WHERE trim(line) <> ''"
            )
        except duckdb.BinderException as error:
            raise ValueError(f"{part.origin} lacks one of the columns {', '.join(names)}.") from error
        except duckdb.Error as error:
            first = str(error).splitlines()[0].rstrip(".")
            wrong = ValueError(f"{part.origin} cannot be read: {first}. Get the file again.")
            raise shortage(error, self.temporary) or wrong from error

    def _take_bad(self, name: str, part: Part, numbered: bool) -> None:
        """Move a part's bad rows, and what DuckDB could not read at all, from the table to the rejects."""
        file = _text(self.relative(part.origin))
        broken: list[tuple[Any, ...]] = []
        if self._one("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"):
            broken = self._sql(
                "SELECT line, lower(replace(min(error_type::VARCHAR), '_', ' ')), min(csv_line) "
                "FROM reject_errors GROUP BY line ORDER BY line"
            ).fetchall()
            self._sql("DROP TABLE reject_errors")
            self._sql("DROP TABLE reject_scans")
        bad = self._one(f'SELECT count(*) FROM "{name}" WHERE reason IS NOT NULL')
        good = self._one(f'SELECT count(*) FROM "{name}" WHERE reason IS NULL AND file = {file}')
        if not good:
            why = broken[0][1] if broken else self._one(f'SELECT min(reason) FROM "{name}"')
            raise ValueError(f"{part.origin} has no usable row ({why or 'it is empty'}): is it the right file?")
        numbers: dict[str, list[int]] = {}
        undecodable: list[int] = []
        if numbered and 0 < bad + len(broken) <= MOST_NUMBERED:
            marks = {row[0] for row in self._sql(f'SELECT mark FROM "{name}" WHERE reason IS NOT NULL').fetchall()}
            numbers, undecodable = _line_numbers(part.path, marks)
        if len(undecodable) == len(broken):
            broken = [(line, *row[1:]) for line, row in zip(undecodable, broken, strict=True)]
        elif numbered:
            broken = [(None, *row[1:]) for row in broken]
        self._reject_rows(file, broken)
        self._reject_marked(name, numbers)
        self._sql(f'DELETE FROM "{name}" WHERE reason IS NOT NULL')

    def _take_repeats(self, name: str, by: Sequence[str]) -> None:
        """Move all but the row with the smallest mark, for each value of the `by` columns, to the rejects."""
        key = ", ".join(f'"{column}"' for column in by)
        self._sql(
            f'CREATE TEMP TABLE repeats AS SELECT * FROM (SELECT rowid AS place, file, "{by[-1]}" AS excerpt, '
            f'row_number() OVER (PARTITION BY {key} ORDER BY mark) AS turn FROM "{name}" '
            f'WHERE ({key}) IN (SELECT ({key}) FROM "{name}" GROUP BY {key} HAVING count(*) > 1)) WHERE turn > 1'
        )
        self._sql(
            f"INSERT INTO rejects SELECT file, NULL, 'product stands there already', left(excerpt, {EXCERPT}) "
            "FROM repeats"
        )
        self._sql(f'DELETE FROM "{name}" WHERE rowid IN (SELECT place FROM repeats)')
        self._sql("DROP TABLE repeats")

    def _reject_rows(self, file: str, rows: Sequence[tuple[Any, ...]]) -> None:
        lines, reasons, excerpts = ([row[place] for row in rows] for place in range(3))
        self.con.con.execute(
            f"INSERT INTO rejects SELECT {file}, unnest(?::BIGINT[]), unnest(?::VARCHAR[]), "
            f"left(unnest(?::VARCHAR[]), {EXCERPT})",
            [lines, reasons, excerpts],
        )

    def _reject_marked(self, name: str, numbers: Mapping[str, Sequence[int]]) -> None:
        """Set bad rows aside; equal lines take the numbers of their places in turn."""
        known = [(mark, turn, line) for mark, lines in numbers.items() for turn, line in enumerate(lines, 1)]
        marks, turns, lines = ([row[place] for row in known] for place in range(3))
        self.con.con.execute(
            "INSERT INTO rejects SELECT file, numbered.line, reason, excerpt FROM "
            f'(SELECT *, row_number() OVER (PARTITION BY mark) AS turn FROM "{name}" WHERE reason IS NOT NULL) '
            "LEFT JOIN (SELECT unnest(?::VARCHAR[]) AS mark, unnest(?::BIGINT[]) AS turn, unnest(?::BIGINT[]) AS "
            "line) AS numbered USING (mark, turn)",
            [marks, turns, lines],
        )

    def _name(self) -> str:
        self._tables += 1
        return f"table_{self._tables}"

    def _one(self, sql: str) -> Any:
        return self._sql(sql).fetchall()[0][0]

    def _sql(self, sql: str) -> Any:
        return self.con.raw_sql(sql)


def shortage(error: Exception, folder: Path) -> BaseException | None:
    """Return what DuckDB's error really is where it is no fault of ours or of a file's: a full disk (OSError) or
    too little memory (ValueError). None for any other error."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return ValueError(
            f"Reading the sources took more memory, or more disk below {folder}, than there is: free some, or set "
            "TMPDIR to a folder with more room."
        )
    if any(said in str(error) for said in ("No space left", "File too large", "Disk quota")):
        return OSError(errno.ENOSPC, "No space left on device", str(folder))
    return None


def no_texts() -> ir.ArrayValue:
    """Return an empty array of texts. An empty literal would have no element type in DuckDB."""
    return ibis.array([ibis.literal("")])[:0]


def check_gzip(path: Path) -> None:
    """Raise ValueError where a gzip file is cut short or damaged."""
    try:
        with gzip.open(path) as file:
            while file.read(CHUNK):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}). Get the file again.") from error


def _line_numbers(path: Path, marks: set[str]) -> tuple[dict[str, list[int]], list[int]]:
    """Find the numbers, from 1, of the lines with these md5 marks, and of those that are not UTF-8."""
    found: dict[str, list[int]] = defaultdict(list)
    undecodable = []
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            mark = hashlib.md5(line.rstrip(b"\r\n"), usedforsecurity=False).hexdigest()
            if mark in marks:
                found[mark].append(number)
            elif not line.isascii():
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    undecodable.append(number)
    return found, undecodable


def _wrong_type(name: str, kind: Any) -> str:
    """Return the SQL condition that a key's value is there but of another type; empty text counts as missing.

    The line is parsed again only where a value did not convert, or looks like an object or a list.
    """
    value = f'"row"."{name}"'
    if kind == "VARCHAR":
        look = f"json_type(line, '$.{name}') IN ('OBJECT', 'ARRAY')"
        return f"CASE WHEN left({value}, 1) IN ('{{', '[') THEN {look} ELSE false END"
    there = f"coalesce(json_type(line, '$.{name}'), 'NULL') <> 'NULL' AND (line ->> '$.{name}') <> ''"
    return f"CASE WHEN {value} IS NULL THEN {there} ELSE false END"


def _or_empty(name: str, kind: Any) -> str:
    return f' OR "row"."{name}" = \'\'' if kind == "VARCHAR" else ""


def _lines(path: Path) -> str:
    return f"read_csv({_file(path)}, {AS_LINES})"


def _file(path: Path) -> str:
    """Return a path as SQL text; marks of a pattern in it stand for themselves."""
    return _text(glob.escape(str(path)))


def own_kind(path: Path) -> str:
    """Return csv, json or parquet, by a file's ending; raises ValueError for another."""
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    kinds = {
        ".csv": "csv",
        ".tsv": "csv",
        ".jsonl": "json",
        ".ndjson": "json",
        ".json": "json",
        ".parquet": "parquet",
    }
    if ending not in kinds:
        raise ValueError(f"{path} is of no known kind: give a .csv, .tsv, .jsonl or .parquet file.")
    return kinds[ending]


def _json_path(name: str) -> str:
    """Return the JSON path of a key, as SQL text."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return _text(f'$."{quoted}"')


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
