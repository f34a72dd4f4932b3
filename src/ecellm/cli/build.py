"""`ecellm build`: from raw files to a DATASET folder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecellm.cli.options import refuse_ignored
from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from ecellm.data.builder import Say
    from ecellm.data.manifest import Manifest

#: A size of memory that both engines understand.
SIZE = re.compile(r"[1-9][0-9]*(MB|GB)", re.IGNORECASE)
#: Steps of a build beside one per task: selecting, writing.
OTHER_STEPS = 2


def build(
    sources: Annotated[Path, typer.Option(help="The folder with the raw files.")],
    config: Annotated[Path, typer.Option(help="The build config, a TOML file.")],
    out: Annotated[Path, typer.Option(help="The DATASET folder to write.")],
    tasks: Annotated[
        str | None, typer.Option(help="Only these tasks, such as PM,SA; without it, all that the config names.")
    ] = None,
    engine: Annotated[str, typer.Option(help="What computes the draws: duckdb or spark.")] = "duckdb",
    seed: Annotated[int | None, typer.Option(help="Instead of the config's seed.")] = None,
    memory: Annotated[str, typer.Option(help="DuckDB's memory, beyond it spills to disk; or Spark's.")] = "3GB",
    master: Annotated[
        str | None,
        typer.Option(help="Spark's master address, such as spark://host:7077; this machine (local[*]) unless given."),
    ] = None,
    dropped_dir: Annotated[
        Path | None, typer.Option(help="A folder for the filtered rows: a Parquet file per task and reason.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print what was filtered and rejected, by reason.")
    ] = False,
) -> None:
    """Build instruction data for the ten tasks from raw files."""
    from rich.console import Console

    from ecellm.data.builder import build as run
    from ecellm.data.builder import tasks_to_build
    from ecellm.data.config import read_config
    from ecellm.data.sources import ENGINES, EngineChoice

    if engine not in ENGINES:
        raise ConfigError(f"Unknown engine {engine!r}: choose {' or '.join(ENGINES)}.")
    if engine != "spark":
        refuse_ignored(f"is of Spark, and the engine is {engine}", {"--master": master})
    if not SIZE.fullmatch(memory):
        raise ConfigError(f"--memory {memory!r} is no size: give one such as 500MB or 4GB.")
    settings = read_config(config)
    console = Console(stderr=True)
    chosen, missing = tasks_to_build(sources, settings, tasks)
    for name, why in missing.items():
        console.print(f"{name} cannot be built: {why}.", soft_wrap=True, highlight=False, markup=False)
    with _progress(console, len(chosen) + OTHER_STEPS + (dropped_dir is not None)) as say:
        choice = EngineChoice(engine, memory, master or EngineChoice.master)
        manifest = run(sources, settings, out, chosen, seed, say, choice, dropped_dir)
    _show(manifest, console)
    for line in _details(manifest) if verbose else [_summary(manifest, out)]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    typer.echo(f"Dataset written to {out}.")


@contextmanager
def _progress(console: "Console", steps: int) -> Iterator["Say"]:
    """Yield a function that shows the next step on a progress bar.

    Reading, and drawing again, are shown but do not count as steps: their number is not known in advance.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ecellm.data.source_cache import READING

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=steps)
        seen: set[str] = set()

        def say(step: str) -> None:
            if not step.startswith(READING):
                seen.add(step)
            progress.update(bar, description=step, completed=max(len(seen) - 1, 0))

        yield say


def _show(manifest: "Manifest", console: "Console") -> None:
    """Print the counts per task beside the quotas, and which parts have no rows."""
    from rich.table import Table

    from ecellm.data.manifest import PARTS

    table = Table("task", title="Rows (quota)")
    for part in PARTS:
        table.add_column(part, justify="right")
    warnings = []
    for task, counts in manifest["counts"].items():
        quotas = manifest["quotas"][task]
        table.add_row(task, *(f"{counts[part]:,} ({quotas[part]:,})" if part in counts else "-" for part in PARTS))
        empty = [part for part, count in counts.items() if quotas[part] and not count]
        warnings += [f"Warning: {task} has no rows in {', '.join(empty)}."] if empty else []
    console.print(table)
    for line in warnings:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _summary(manifest: "Manifest", out: Path) -> str:
    """Say in one line how much was filtered and rejected, and where it is listed."""
    from ecellm.data.dataset import MANIFEST, REJECTS

    counted = (manifest["dropped"], manifest["rejected"])
    filtered, rejected = (sum(sum(reasons.values()) for reasons in found.values()) for found in counted)
    if not filtered and not rejected:
        return "Nothing was filtered or rejected."
    lines = f", {out / REJECTS} has the lines" if rejected else ""
    return (
        f"Filtered: {filtered:,} records. Rejected: {rejected:,} lines. {out / MANIFEST} counts them by "
        f"reason{lines}; --verbose prints the counts."
    )


def _details(manifest: "Manifest") -> list[str]:
    """Say what was filtered from each task and rejected from each file, by reason."""
    return [
        *(f"Filtered from {task}: {_listed(reasons)}." for task, reasons in manifest["dropped"].items() if reasons),
        *(f"Rejected from {file}: {_listed(reasons)}." for file, reasons in manifest["rejected"].items()),
    ]


def _listed(reasons: dict[str, int]) -> str:
    return "; ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
