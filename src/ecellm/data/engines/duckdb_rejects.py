"""The rejects of a build on DuckDB: a table of file, line, reason and excerpt."""

from collections.abc import Mapping, Sequence

import duckdb
from ibis.backends.duckdb import Backend

from ecellm.data.engines.base import REPEATED
from ecellm.data.engines.duckdb_sql import quoted
from ecellm.io.tables.lines import EXCERPT

#: The column that says which part a row came from, by its number.
PART = "part"

#: A line that DuckDB could not read at all: its number (as DuckDB counts), the reason and the text.
Line = tuple[int | None, str, str]


class DuckRejects:
    """The table `rejects` of a connection."""

    def __init__(self, con: Backend):
        self.con = con
        con.raw_sql("CREATE TABLE rejects (file VARCHAR, line BIGINT, reason VARCHAR, excerpt VARCHAR)")

    def take_unreadable(self) -> dict[str, list[Line]]:
        """Return, and forget, the lines that DuckDB could not read at all, by path: number (as DuckDB counts), reason
        and text."""
        count = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"
        if not self._sql(count).fetchall()[0][0]:
            return {}
        found: dict[str, list[Line]] = {}
        for path, number, reason, text in self._sql(
            "SELECT file_path, line, lower(replace(min(error_type::VARCHAR), '_', ' ')), min(csv_line) FROM "
            "reject_errors JOIN reject_scans USING (scan_id, file_id) GROUP BY file_path, line ORDER BY line"
        ).fetchall():
            found.setdefault(path, []).append((number, reason, text))
        self._sql("DROP TABLE reject_errors")
        self._sql("DROP TABLE reject_scans")
        return found

    def take_repeats(self, name: str, by: Sequence[str], columns: Sequence[str], files: Sequence[str]) -> None:
        """Move all but the row whose `columns` have the smallest mark, for each value of the columns `by`, to the
        rejects, which name the parts' `files`."""
        key = ", ".join(f"coalesce(\"{column}\"::VARCHAR, '')" for column in by)
        row = ", ".join(f'{quoted(column)}: "{column}"' for column in columns)
        file = f"list_extract([{', '.join(map(quoted, files))}], {PART} + 1)"
        self._sql(
            f"CREATE TEMP TABLE repeats AS SELECT * FROM (SELECT rowid AS place, {file} AS file, "
            f'"{by[-1]}" AS excerpt, '
            f"row_number() OVER (PARTITION BY {key} ORDER BY md5(to_json({{{row}}})::VARCHAR), {file}) AS turn "
            f'FROM "{name}" WHERE ({key}) IN (SELECT ({key}) FROM "{name}" GROUP BY {key} HAVING count(*) > 1)) '
            "WHERE turn > 1"
        )
        self._sql(f"INSERT INTO rejects SELECT file, NULL, {quoted(REPEATED)}, left(excerpt, {EXCERPT}) FROM repeats")
        self._sql(f'DELETE FROM "{name}" WHERE rowid IN (SELECT place FROM repeats)')
        self._sql("DROP TABLE repeats")

    def add(self, file: str, rows: Sequence[Line]) -> None:
        """Reject lines (number, reason, text) of a file, given as SQL."""
        lines, reasons, excerpts = ([row[place] for row in rows] for place in range(3))
        self.con.con.execute(
            f"INSERT INTO rejects SELECT {file}, unnest(?::BIGINT[]), unnest(?::VARCHAR[]), "
            f"left(unnest(?::VARCHAR[]), {EXCERPT})",
            [lines, reasons, excerpts],
        )

    def take_marked(self, name: str, place: int, file: str, numbers: Mapping[str, Sequence[int]]) -> None:
        """Reject a part's bad rows; equal lines take the numbers of their places in turn."""
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

    def _sql(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self.con.raw_sql(sql)
