"""The workbench on Spark, for sources that outgrow one machine: the same rows and rejects as on DuckDB.

Lines are parsed by Spark's own functions, on its workers; this process collects sampled and rejected rows,
nothing else. On a cluster the workers must see the sources at the same path, and TMPDIR where files are converted
first: 2014's metadata, a shop's own tables, the first reviews of each file, the two catalogues.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark import StorageLevel, cloudpickle
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Window
from pyspark.sql import Row as SparkRow
from pyspark.sql import functions as F

from ecellm.data.convert import Rejection
from ecellm.data.engines.base import (
    AS_IT_IS,
    FILE,
    MOST_NUMBERED,
    REPEATED,
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
from ecellm.data.engines.line_numbers import LAST, line_numbers
from ecellm.data.engines.spark_session import quiet, start_session
from ecellm.data.engines.spark_sql import (
    json_text,
    message_of,
    or_empty,
    quoted,
    spark_path,
    spark_type,
    wrong_type,
)
from ecellm.data.schema import Row
from ecellm.errors import DataError
from ecellm.io.tables.lines import EXCERPT, LONGEST_LINE

#: What is wrong with a line before it is parsed.
UNREADABLE = (
    "NOT is_valid_utf8(line) THEN 'invalid encoding' "
    f"WHEN octet_length(line) > {LONGEST_LINE} THEN 'line size over maximum'"
)


@dataclass
class Rejects:
    """Rows of one reading that were rejected."""

    rows: DataFrame
    """file, mark (the line's md5), reason, excerpt, hint (see `line_numbers`)."""
    paths: Mapping[str, Path]
    """Where to look for the lines' numbers, by file; empty where rows are no lines."""


class SparkWorkbench(Workbench):
    """A Spark session for one build, the files it read, and the rows it rejected."""

    def __init__(self, root: Path, temporary: Path, memory: str, master: str):
        """`memory` is that of this process's Java, such as "4GB"; `master` is Spark's master address."""
        super().__init__(root, temporary)
        self._session = start_session(temporary, memory, master)
        with quiet():
            self.con = ibis.pyspark.connect(self._session)
        self._rejects: list[Rejects] = []
        self._listed: list[RejectedRow] = []

    def _json_sql(self, structure: Structure, needed: Sequence[str], path: Path) -> str:
        fields = ", ".join(
            f"try_variant_get(parsed, '$.row.{name}', '{spark_type(kind)}') AS {quoted(name)}"
            for name, kind in structure.items()
        )
        wrong = " ".join(
            f"WHEN {wrong_type(name, kind)} THEN '{name} has the wrong type'" for name, kind in structure.items()
        )
        missing = " ".join(
            f"WHEN {quoted(name)} IS NULL{or_empty(name, structure[name])} THEN '{name} is missing'"
            for name in needed
        )
        # The end of the line is required: Spark does not mind what stands after a value.
        parsed = """try_parse_json('{"row":' || line || ',"end":1}') AS parsed"""
        return (
            f"SELECT line, {', '.join(map(quoted, structure))}, CASE WHEN {UNREADABLE} "
            "WHEN NOT coalesce(try_variant_get(parsed, '$.end', 'int') = 1, false) THEN 'not valid JSON' "
            f"WHEN NOT startswith(ltrim(line), '{{') THEN 'not a JSON object' {wrong} {missing} END AS problem "
            f"FROM (SELECT line, parsed, {fields} FROM (SELECT line, {parsed} FROM {self._lines(path)}))"
        )

    def _csv_sql(self, names: Sequence[str], path: Path) -> str:
        cells = ", ".join(f"trim(get(cells, {place})) AS {quoted(name)}" for place, name in enumerate(names))
        return (
            f"SELECT line, {cells}, CASE WHEN {UNREADABLE} WHEN size(cells) <> {len(names)} "
            f"THEN 'not {len(names)} columns' END AS problem "
            f"FROM (SELECT line, split(line, ',', -1) AS cells FROM {self._lines(path)})"
        )

    def _parquet_sql(self, columns: Mapping[str, str], where: str, path: Path) -> str:
        pq.read_schema(path)  # says better than Spark what is wrong with a file
        file = self._view(self._session.read.parquet(spark_path(path)))
        wanted = ", ".join(
            f"cast({quoted(name)} AS {spark_type(kind)}) AS {quoted(name)}" if kind != AS_IT_IS else quoted(name)
            for name, kind in columns.items()
        )
        return (
            f"SELECT {json_text(columns)} AS line, *, cast(NULL AS string) AS problem "
            f"FROM (SELECT {wanted} FROM {file}) WHERE {where}"
        )

    def _reject(self, file: str, rejections: Sequence[Rejection]) -> None:
        self._listed += [
            RejectedRow(file=file, line=one.line, reason=one.reason, excerpt=one.excerpt) for one in rejections
        ]

    def rejected(self) -> list[RejectedRow]:
        """Return the rejected rows; see `Workbench`."""
        found = [*self._listed]
        for rejects in self._rejects:
            found += _numbered(rejects.rows.collect(), rejects.paths)
        return sorted(
            found,
            key=lambda row: (row["file"], row["line"] is None, row["line"] or 0, row["reason"], row["excerpt"] or ""),
        )

    def again(self, read: Callable[[], Tables]) -> Tables:
        """Read once more; see `Workbench`."""
        rejects, listed = list(self._rejects), list(self._listed)
        found = read()
        self._rejects, self._listed = rejects, listed
        return found

    def keep(self, table: ir.Table) -> ir.Table:
        """Compute an expression once and return the table that holds it.

        The rows are computed here and now, and how they came about is forgotten: plans that hold plans that hold
        plans, as SR's core has them, would outgrow the memory.
        """
        kept = self._table(self._frame(table).localCheckpoint(storageLevel=StorageLevel.MEMORY_AND_DISK))
        # Spark notes which columns happen to hold no null; the Store's types do not.
        return kept.cast({name: kind.copy(nullable=True) for name, kind in kept.schema().items()})

    def rows(self, table: ir.Table) -> list[Row]:
        """Collect an expression's rows."""
        with quiet():
            found: list[Row] = self._frame(table).toArrow().to_pylist()
        return found

    def given(self, rows: pa.Table) -> ir.Table:
        """Return a few rows of our own as a table."""
        with quiet():
            return self._table(self._session.createDataFrame(rows))

    def mapped(self, texts: ir.Table, function: Callable[[str], str]) -> ir.Table:
        """Return the texts with what Python makes of them, on Spark's workers, which need no ecellm."""
        (column,) = texts.columns
        module = sys.modules[function.__module__]
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
        try:
            with quiet():
                computed = F.udf(function, "string", useArrow=False)(F.col(column))
            return self._table(self._frame(texts).withColumn("mapped", computed))
        finally:
            cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """End the jobs that run, if any."""
        self._session.sparkContext.cancelAllJobs()

    def shortage(self, error: Exception) -> BaseException | None:
        """Return what an error really is; see `Workbench`."""
        message = str(error)
        if "OutOfMemoryError" in message or "SparkOutOfMemoryError" in message:
            return DataError("Reading the sources took more memory than Spark has: allow more with --memory.")
        if any(sign in message for sign in ("No space left", "File too large", "Disk quota")):
            return full_disk(self.temporary.parent)
        return None

    def close(self) -> None:
        """End the session; Java itself ends with this process."""
        self._session.stop()

    def discard(self, path: Path) -> None:
        """Leave a converted file until the end: Spark may read it again."""

    def _frame(self, table: ir.Table) -> DataFrame:
        return self._session.sql(self.con.compile(table))

    def _table(self, frame: DataFrame) -> ir.Table:
        return self.con.table(self._view(frame))

    def _view(self, frame: DataFrame) -> str:
        name = self._name()
        frame.createOrReplaceTempView(name)
        return name

    def _lines(self, path: Path) -> str:
        """Return the name of a view of a file's lines, which a carriage return alone ends too, as on DuckDB."""
        lines = self._session.read.text(spark_path(path))
        return self._view(lines.selectExpr(r"rtrim('\r', value) AS line"))

    def _collect(
        self,
        parts: Sequence[Part],
        select: Callable[[Path], str],
        names: Sequence[str],
        checks: Mapping[str, Check],
        by: Sequence[str],
        numbered: bool = True,
    ) -> ir.Table:
        """Read the parts into one table, and move the bad rows to the rejects."""
        assert parts
        parts = pieces(parts)
        self.inspect([part.path for part in parts if part.converted_from is None])
        rows = self._judged(parts, select, names, checks).persist(StorageLevel.MEMORY_AND_DISK)
        self._refuse_useless(rows, parts)
        paths = {self.relative(part.origin): part.path for part in parts} if numbered else {}
        shown = (FILE, "mark", "reason", "excerpt", "hint")
        self._rejects.append(Rejects(rows.where("reason IS NOT NULL").select(*shown), paths))
        good = rows.where("reason IS NULL").drop("reason", "mark", "excerpt", "hint")
        if by:
            mark = F.md5(F.expr(json_text([*names, *parts[0].shared])))
            turn = F.row_number().over(Window.partitionBy(*by).orderBy(mark, FILE))
            ranked = good.withColumn("turn", turn).persist(StorageLevel.MEMORY_AND_DISK)
            again = ranked.where("turn > 1").selectExpr(
                FILE,
                "'' AS mark",
                f"'{REPEATED}' AS reason",
                f"left({quoted(by[-1])}, {EXCERPT}) AS excerpt",
                "'' AS hint",
            )
            self._rejects.append(Rejects(again, {}))
            good = ranked.where("turn = 1").drop("turn")
        return self._table(good.drop(FILE))

    def _judged(
        self,
        parts: Sequence[Part],
        select: Callable[[Path], str],
        names: Sequence[str],
        checks: Mapping[str, Check],
    ) -> DataFrame:
        """Return the parts' rows with file, reason (null where the row is good), mark and excerpt."""
        shared = list(parts[0].shared)
        frames = []
        for part in parts:
            own = {FILE: self.relative(part.origin), **part.shared}
            try:
                frame = self._session.sql(select(part.path))
                frames.append(frame.withColumns({name: F.lit(value) for name, value in own.items()}))
            except (PySparkException, pa.ArrowException) as error:
                raise DataError(f"{part.origin} cannot be read: {message_of(error)}. Get the file again.") from error
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.unionByName(frame)
        columns = [*names, *shared, FILE]
        rows = self._frame(judged(self._table(whole), checks, columns)).where("trim(line) <> ''")
        return rows.selectExpr(
            *map(quoted, columns),
            "reason",
            "CASE WHEN reason IS NOT NULL THEN md5(line) END AS mark",
            f"CASE WHEN reason IS NOT NULL THEN left(make_valid_utf8(line), {EXCERPT}) END AS excerpt",
            f"CASE WHEN reason IS NOT NULL THEN octet_length(line) || '|' || "
            f"if(is_valid_utf8(line), right(line, {LAST}), '') END AS hint",
        )

    def _refuse_useless(self, rows: DataFrame, parts: Sequence[Part]) -> None:
        """Raise DataError where a part has no good row."""
        try:
            grouped = rows.groupBy(FILE, "reason").agg(F.count("*").alias("rows"), F.min("excerpt").alias("excerpt"))
            counts = grouped.orderBy(F.desc("rows"), "reason").collect()
        except (PySparkException, Py4JJavaError) as error:
            wrong = DataError(f"{either(parts)} cannot be read: {message_of(error)}. Get the file again.")
            raise self.shortage(error) or wrong from error
        usable = {row[FILE] for row in counts if row["reason"] is None}
        for part in parts:
            name = self.relative(part.origin)
            if name not in usable:
                reasons = [(row["reason"], row["excerpt"]) for row in counts if row[FILE] == name]
                raise no_usable_row(part, reasons[0] if reasons else None)


def _numbered(rows: Sequence[SparkRow], paths: Mapping[str, Path]) -> list[RejectedRow]:
    """Return rejects with the numbers of their lines, equal lines in turn; null where the file has very many."""
    found = []
    for file in sorted({row["file"] for row in rows}):
        own = [row for row in rows if row["file"] == file]
        numbers: dict[str, list[int]] = {}
        if file in paths and len(own) <= MOST_NUMBERED:
            marks, hints = {row["mark"] for row in own}, {row["hint"] for row in own}
            numbers, _ = line_numbers(paths[file], marks, hints, len(own), broken=False)
        turns = {mark: iter(lines) for mark, lines in numbers.items()}
        for row in own:
            line = next(turns[row["mark"]], None) if row["mark"] in turns else None
            found.append(RejectedRow(file=file, line=line, reason=row["reason"], excerpt=row["excerpt"]))
    return found
