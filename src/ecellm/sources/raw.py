"""Reading raw files into DuckDB: the thin layer below the sources, and the only one that writes SQL.

Every line is read as text first, so that one bad line is set aside and counted and the rest go on.
Results are tables in a temporary database that may spill to disk; sources build Ibis expressions on them.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

CHUNK = 1 << 20
LONGEST_LINE = 64 << 20
EXCERPT = 200
#: How DuckDB is told to take a line as it is.
AS_LINES = (
    "columns={'line': 'VARCHAR'}, delim='\x01', quote='', escape='', header=false, auto_detect=false, "
    f"null_padding=true, strict_mode=false, new_line='\\n', max_line_size={LONGEST_LINE}, "
    "ignore_errors=true, store_rejects=true, rejects_table='reject_errors', rejects_scan='reject_scans'"
)


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


class Workbench:
    """A DuckDB connection for one build, the files it read, and the lines it set aside."""

    def __init__(self, root: Path, temporary: Path, memory_limit: str = "4GB"):
        self.root = root
        self.inputs: list[InputFile] = []
        self.con = ibis.duckdb.connect(
            temporary / "store.duckdb", memory_limit=memory_limit, temp_directory=str(temporary / "spill")
        )
        self.con.raw_sql("SET preserve_insertion_order = false")
        self.con.raw_sql("SET enable_progress_bar = false")
        self.con.raw_sql("CREATE TABLE rejects (file VARCHAR, line BIGINT, reason VARCHAR, excerpt VARCHAR)")
        self.tables = 0

    def json_lines(
        self,
        parts: Sequence[Part],
        structure: Mapping[str, Any],
        needed: Sequence[str],
        recorded: bool = False,
    ) -> ir.Table:
        """Return the objects of JSON-lines files as a table with the structure's columns (DuckDB types) and
        the parts' shared values. Lines that are no JSON object, or lack a needed key, are set aside."""
        keys = json.dumps(dict(structure)).replace("'", "''")
        columns = ", ".join(f'"row"."{name}" AS "{name}"' for name in structure)
        missing = [(f'"row"."{name}" IS NULL', f"{name} is missing or of the wrong type") for name in needed]
        checks = [
            ("NOT json_valid(line)", "not valid JSON"),
            ("json_type(line) <> 'OBJECT'", "not a JSON object"),
        ]
        return self._lines(
            parts,
            f"CASE WHEN json_valid(line) AND json_type(line) = 'OBJECT' THEN from_json(line, '{keys}') END",
            columns,
            [*checks, *missing],
            recorded,
        )

    def csv_lines(self, parts: Sequence[Part], names: Sequence[str], checks: Sequence[tuple[str, str]]) -> ir.Table:
        """Return unquoted comma-separated lines without header as text columns, and the parts' shared values.

        `checks` are (SQL condition on "row", reason) pairs; lines that meet one are set aside.
        """
        fields = ", ".join(f"{name} := cells[{place}]" for place, name in enumerate(names, 1))
        columns = ", ".join(f'"row"."{name}" AS "{name}"' for name in names)
        return self._lines(
            parts,
            f"(SELECT struct_pack({fields}) FROM (SELECT string_split(line, ',') AS cells))",
            columns,
            [(f"len(string_split(line, ',')) <> {len(names)}", f"not {len(names)} columns"), *checks],
        )

    def csv_table(self, path: Path, names: Sequence[str], encoding: str) -> ir.Table:
        """Return a quoted CSV file with a header as text columns; rows that do not parse are set aside.

        Raises ValueError where the header is not the expected one.
        """
        self.record(path)
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            header = [name.strip().strip('"') for name in file.readline().strip().split(",")]
        if header != list(names):
            raise ValueError(f"{path} begins with the columns {header}, not {list(names)}: is it the right file?")
        columns = json.dumps(dict.fromkeys(names, "VARCHAR")).replace('"', "'")
        found = self._create(
            path,
            f"SELECT * FROM read_csv({_text(path)}, columns={columns}, header=true, delim=',', quote='\"', "
            f"escape='\"', encoding='{encoding}', auto_detect=false, ignore_errors=true, store_rejects=true, "
            "rejects_table='reject_errors', rejects_scan='reject_scans')",
        )
        self._take_rejects(path)
        return found

    def parquet(self, path: Path, names: Sequence[str]) -> ir.Table:
        """Return columns of a Parquet file; raises ValueError where it is none or lacks one of them."""
        self.record(path)
        wanted = ", ".join(f'"{name}"' for name in names)
        try:
            return self._create(path, f"SELECT {wanted} FROM read_parquet({_text(path)})")
        except duckdb.BinderException as error:
            raise ValueError(f"{path} lacks one of the columns {', '.join(names)}.") from error

    def rejected(self) -> list[dict[str, Any]]:
        """Return the lines set aside, in the order of file, line and text."""
        rows = self.con.raw_sql(
            "SELECT file, line, reason, excerpt FROM rejects ORDER BY file, line NULLS LAST, reason, excerpt"
        ).fetchall()
        return [dict(zip(("file", "line", "reason", "excerpt"), row, strict=True)) for row in rows]

    def reject(self, table: ir.Table, path: str, reason: str, excerpt: ir.StringValue) -> None:
        """Set rows of a table aside."""
        rows = table.select(
            file=ibis.literal(path),
            line=ibis.null("int64"),
            reason=ibis.literal(reason),
            excerpt=excerpt.left(EXCERPT),
        )
        self.con.raw_sql(f"INSERT INTO rejects {ibis.to_sql(rows, dialect='duckdb')}")

    def close(self) -> None:
        """Close the connection."""
        self.con.disconnect()

    def relative(self, path: Path) -> str:
        """Return the path below the sources folder, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def keep(self, table: ir.Table) -> ir.Table:
        """Compute an expression once and return the table that holds it."""
        self.tables += 1
        name = f"kept_{self.tables}"
        self.con.raw_sql(f'CREATE TABLE "{name}" AS {ibis.to_sql(table, dialect="duckdb")}')
        return self.con.table(name)

    def _lines(
        self,
        parts: Sequence[Part],
        row: str,
        columns: str,
        checks: Sequence[tuple[str, str]],
        recorded: bool = False,
    ) -> ir.Table:
        """Read lines, turn each into a struct `row`, set aside those that a check names, keep the rest."""
        reason = " ".join(f"WHEN {condition} THEN '{said}'" for condition, said in checks)
        tables = []
        for part in parts:
            if not recorded:
                self.record(part.path)
            shared = "".join(f", '{value}' AS \"{name}\"" for name, value in part.shared.items())
            read = f"read_csv({_text(part.path)}, {AS_LINES})"
            everything = self._create(
                part.path,
                f'SELECT line, "row", CASE {reason} END AS reason FROM '
                f"(SELECT line, {row} AS \"row\" FROM {read} WHERE trim(line) <> '')",
            ).get_name()
            self._take_rejects(part.path)
            self.con.raw_sql(
                f"INSERT INTO rejects SELECT {_text(self.relative(part.path))}, NULL, reason, "
                f'left(line, {EXCERPT}) FROM "{everything}" WHERE reason IS NOT NULL'
            )
            tables.append(f'SELECT {columns}{shared} FROM "{everything}" WHERE reason IS NULL')
        self.tables += 1
        name = f"kept_{self.tables}"
        self.con.raw_sql(f'CREATE TABLE "{name}" AS {" UNION ALL ".join(tables)}')
        return self.con.table(name)

    def _create(self, path: Path, select: str) -> ir.Table:
        self.tables += 1
        name = f"raw_{self.tables}"
        try:
            self.con.raw_sql(f'CREATE TABLE "{name}" AS {select}')
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            first = str(error).splitlines()[0]
            raise ValueError(f"{path} cannot be read: {first}. Get the file again.") from error
        return self.con.table(name)

    def _take_rejects(self, path: Path) -> None:
        """Move what DuckDB itself set aside (wrong encoding, broken rows) to our rejects."""
        self.con.raw_sql(
            f"INSERT INTO rejects SELECT DISTINCT {_text(self.relative(path))}, line, "
            f"lower(replace(error_type::VARCHAR, '_', ' ')), left(csv_line, {EXCERPT}) FROM reject_errors"
        )
        self.con.raw_sql("DROP TABLE reject_errors")
        self.con.raw_sql("DROP TABLE reject_scans")

    def record(self, path: Path) -> None:
        """Note the file with its hash; raises ValueError where it is missing or its gzip is damaged."""
        if not path.is_file():
            raise ValueError(f"There is no file {path}: check --sources and the config's categories.")
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        if path.suffix == ".gz":
            _check_gzip(path)
        found = InputFile(self.relative(path), path.stat().st_size, digest.hexdigest())
        if found not in self.inputs:
            self.inputs.append(found)


def no_texts() -> ir.ArrayValue:
    """Return an empty array of texts. An empty literal would have no element type in DuckDB."""
    return ibis.array([ibis.literal("")])[:0]


def _check_gzip(path: Path) -> None:
    """Raise ValueError where a gzip file is cut short or damaged: DuckDB reads some of those silently."""
    try:
        with gzip.open(path) as file:
            while file.read(CHUNK):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}). Get the file again.") from error


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
