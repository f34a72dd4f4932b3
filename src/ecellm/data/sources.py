"""Opening the sources of a build: which readers fill the Store, on which engine, and what is missing for it."""

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ecellm.data.config import Sources
from ecellm.data.engines.base import Workbench
from ecellm.data.engines.interrupt import interruptible
from ecellm.data.readers import (
    amazon_google,
    amazon_qa,
    amazon_reviews,
    custom_tables,
    custom_tables_columns,
    esci,
    mave,
)
from ecellm.data.source_cache import PROVIDERS, Reading, Shelf
from ecellm.errors import DataError

ENGINES = ("duckdb", "spark")


@dataclass(frozen=True)
class Wanted:
    """Categories whose Amazon Review files are needed, by kind of file."""

    reviews: Collection[str] = ()
    metadata: Collection[str] = ()
    ratings: Collection[str] = ()
    first_reviews: int | None = None
    """How many lines of each file of reviews are read, from its first on; None for all."""


@dataclass(frozen=True)
class EngineChoice:
    """What computes the draws."""

    name: str = "duckdb"
    """duckdb or spark."""
    memory: str = "3GB"
    """DuckDB's limit, beyond which it spills to disk; for Spark, the memory of this process's part of it."""
    master: str = "local[*]"
    """Spark's master address, such as spark://host:7077; local[2] computes here on two cores."""

    @property
    def package(self) -> str:
        """The package whose version makes a difference."""
        return "pyspark" if self.name == "spark" else "duckdb"

    def workbench(self, root: Path, space: Path) -> Workbench:
        """Start the engine; raises DataError with the install line where it is not there."""
        if self.name == "spark":
            try:
                from ecellm.data.engines.spark import SparkWorkbench
            except ImportError as error:
                raise DataError(
                    "The engine spark needs PySpark and a Java runtime: pip install 'ecellm[spark]'."
                ) from error
            return SparkWorkbench(root, space, self.memory, self.master)
        from ecellm.data.engines.duckdb import DuckWorkbench

        return DuckWorkbench(root, space, self.memory)


@contextmanager
def open_shelf(
    root: Path,
    sources: Sources,
    wanted: Wanted,
    tables: Collection[str],
    engine: EngineChoice | None = None,
    temporary: Path | None = None,
    say: Callable[[str], None] = lambda step: None,
) -> Iterator[Shelf]:
    """Give the sources of the named tables, which are read when they are needed; `say` is called then.

    The tables lie in a folder below `temporary` (None: the system's, TMPDIR), which is removed at the end; the
    engine is DuckDB unless another is given. Raises DataError with one sentence where a folder or file is missing
    or cannot be read or the memory is too small, OSError where the disk is full; both also for what is read and
    computed within.
    """
    if not root.is_dir():
        raise DataError(f"There is no sources folder {root}.")
    with (
        tempfile.TemporaryDirectory(prefix="ecellm-", dir=temporary) as space,
        closing((engine or EngineChoice()).workbench(root, Path(space))) as bench,
    ):
        try:
            with interruptible(bench.stop):
                readings = _readings(bench, root, sources, wanted, tables, Path(space))
                for reading in readings:
                    bench.look(reading.parts)
                named = sources.tables.named()
                own = custom_tables.read(bench, root, sources.tables, tables, Path(space)) if named else {}
                yield Shelf(bench, readings, own, say)
        except Exception as error:
            shortage = bench.shortage(error)
            if shortage is None:
                raise
            raise shortage from error


def _readings(
    bench: Workbench, root: Path, sources: Sources, wanted: Wanted, tables: Collection[str], space: Path
) -> list[Reading]:
    found: list[Reading] = []
    if sources.amazon_reviews is not None:
        folder = _folder(root, sources.amazon_reviews)
        if "reviews" in tables and wanted.reviews:
            texts = amazon_reviews.review_parts(folder, wanted.reviews)
            read = partial(amazon_reviews.read_reviews, bench, texts, space, wanted.first_reviews)
            found.append(Reading("reviews", {"reviews"}, texts, read))
        if "purchases" in tables and wanted.ratings:
            rated = amazon_reviews.rating_parts(folder, wanted.ratings)
            read = partial(amazon_reviews.read_purchases, bench, rated)
            found.append(Reading("ratings", {"purchases"}, rated, read))
        if wanted.metadata:
            new = amazon_reviews.metadata_parts(folder, wanted.metadata)
            read = partial(amazon_reviews.read_metadata, bench, new)
            # Reviews may be split by their products' brands.
            found.append(Reading("metadata", {"relations"}, new, read, ["amazon_2018"], {"purchases", "reviews"}))
    # 2014's metadata fills gaps of what was bought, nothing else.
    if sources.amazon_reviews_2014 is not None and wanted.ratings:
        old = amazon_reviews.metadata_2014_parts(_folder(root, sources.amazon_reviews_2014), wanted.ratings)
        read = partial(amazon_reviews.read_metadata_2014, bench, old, space)
        found.append(Reading("metadata of 2014", set(), old, read, ["amazon_2014"], {"purchases"}))
    if sources.amazon_google is not None and "matches" in tables:
        folder = _folder(root, sources.amazon_google)
        files, encoding = amazon_google.parts(folder), sources.amazon_google_encoding
        read = partial(amazon_google.read, bench, folder, encoding)
        found.append(Reading(sources.amazon_google, {"matches"}, files, read, ["amazon", "google"]))
    for module, table, name, catalogues in (
        (esci, "judgements", sources.esci, ["esci"]),
        (mave, "attributes", sources.mave, ["mave"]),
        (amazon_qa, "questions", sources.amazon_qa, []),
    ):
        if name is not None and table in tables:
            folder = _folder(root, name)
            read = partial(module.read, bench, folder)
            found.append(Reading(name, {table}, module.parts(folder), read, catalogues))
    return found


def obstacles(root: Path, sources: Sources) -> dict[str, str]:
    """Return why tasks cannot be built from the user's own tables, by task; empty where there are none.

    Raises DataError where a table cannot be read or lacks a column that the config names.
    """
    if not sources.tables.named():
        return {}
    given = [name for name, provider in PROVIDERS.items() if getattr(sources, provider, None) is not None]
    return custom_tables_columns.obstacles(custom_tables.own_columns(root, sources.tables), given)


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: check --sources and the config's [sources].")
    return folder
