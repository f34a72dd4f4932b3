"""`ecellm build`: from raw files to a DATASET folder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ecellm.dataset.build import Say

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
        str, typer.Option(help="Spark's master address, such as spark://host:7077; local[*] is this machine.")
    ] = "local[*]",
    lost: Annotated[
        Path | None, typer.Option(help="A folder for what was left out: a Parquet file per task and reason.")
    ] = None,
) -> None:
    """Build instruction data for the ten tasks from raw files."""
    from rich.console import Console

    from ecellm.dataset.build import build as run
    from ecellm.dataset.config import read_config
    from ecellm.sources import ENGINES, Engine, obstacles
    from ecellm.tasks import TASKS, chosen_tasks

    if engine not in ENGINES:
        raise ValueError(f"Unknown engine {engine!r}: choose {' or '.join(ENGINES)}.")
    if not SIZE.fullmatch(memory):
        raise ValueError(f"--memory {memory!r} is no size: give one such as 500MB or 4GB.")
    settings = read_config(config)
    console = Console(stderr=True)
    if tasks is not None:
        chosen = chosen_tasks(tasks)
    elif settings.sources.tables.named():
        missing = obstacles(sources, settings.sources)
        for name, why in missing.items():
            console.print(f"{name} cannot be built: {why}.", soft_wrap=True, highlight=False, markup=False)
        chosen = [task for task in TASKS.values() if task.name not in missing]
    else:
        chosen = [task for task in TASKS.values() if task.name in settings.tasks]
    if not chosen:
        raise ValueError(f"{config} names nothing to build: add [tasks.PM] and the like, or tables of your own.")
    with _progress(console, len(chosen) + OTHER_STEPS + (lost is not None)) as say:
        manifest = run(sources, settings, out, chosen, seed, say, Engine(engine, memory, master), lost)
    _show(manifest, console)
    typer.echo(f"Dataset written to {out}.")


@contextmanager
def _progress(console: "Console", steps: int) -> Iterator["Say"]:
    """Give a function that names the next step on a progress bar. What is read meanwhile, or drawn once more, is
    shown and no step of its own: how much of that there will be nobody knows."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ecellm.sources.shelf import READING

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=steps)
        told: set[str] = set()

        def say(step: str) -> None:
            if not step.startswith(READING):
                told.add(step)
            progress.update(bar, description=step, completed=max(len(told) - 1, 0))

        yield say


def _show(manifest: dict[str, Any], console: "Console") -> None:
    """Print the counts per task, then what was left out and why, and what has no rows at all."""
    from rich.table import Table

    parts = ("train IND", "validation IND", "test IND", "test OOD")
    table = Table("task", title="Rows (asked)")
    for part in parts:
        table.add_column(part, justify="right")
    said = [f"Left out of {task}: {_listed(reasons)}." for task, reasons in manifest["dropped"].items() if reasons]
    said += [f"Set aside from {file}: {_listed(reasons)}." for file, reasons in manifest["rejected"].items()]
    for task, counts in manifest["counts"].items():
        asked = manifest["quotas"][task]
        table.add_row(task, *(f"{counts[part]:,} ({asked[part]:,})" if part in counts else "-" for part in parts))
        empty = [part for part, count in counts.items() if asked[part] and not count]
        said += [f"Warning: {task} has no rows in {', '.join(empty)}."] if empty else []
    console.print(table)
    for line in said:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _listed(reasons: dict[str, int]) -> str:
    return "; ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
