"""The engines: tests that ask for one run on DuckDB, among the quick tests, and on Spark, among the slow ones."""

from collections.abc import Iterator

import pytest
import source_files

from ecellm.data.sources import EngineChoice

#: Python talks to Spark's Java through a socket of this machine.
ON_SPARK = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1", "localhost"])]


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=ON_SPARK)])
def engine(request: pytest.FixtureRequest) -> Iterator[EngineChoice]:
    """The engine that `source_files.read` uses."""
    source_files.ENGINE = source_files.SPARK if request.param == "spark" else EngineChoice()
    yield source_files.ENGINE
    source_files.ENGINE = EngineChoice()
