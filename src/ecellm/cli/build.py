"""`ecellm build`: from raw files to a DATASET folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

ENGINES = ("duckdb",)


def build(
    sources: Annotated[Path, typer.Option(help="The folder with the raw files.")],
    config: Annotated[Path, typer.Option(help="The build config, a TOML file.")],
    out: Annotated[Path, typer.Option(help="The DATASET folder to write.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
    engine: Annotated[str, typer.Option(help="What computes the draws: duckdb.")] = "duckdb",
    seed: Annotated[int | None, typer.Option(help="Instead of the config's seed.")] = None,
) -> None:
    """Build instruction data for the ten tasks from raw files."""
    from rich.console import Console

    from ecellm.dataset.build import build as run
    from ecellm.dataset.config import read_config
    from ecellm.tasks import TASKS, chosen_tasks

    if engine not in ENGINES:
        raise ValueError(f"Unknown engine {engine!r}: this version builds with {', '.join(ENGINES)}.")
    settings = read_config(config)
    chosen = (
        chosen_tasks(tasks) if tasks is not None else [task for task in TASKS.values() if task.name in settings.tasks]
    )
    if not chosen:
        raise ValueError(f"{config} names no task: add [tasks.PM] and the like, or give --tasks.")
    console = Console(stderr=True)
    with console.status("starting") as status:
        manifest = run(sources, settings, out, chosen, seed, lambda step: status.update(step))
    show(manifest, console)
    typer.echo(f"Dataset written to {out}.")


def show(manifest: dict[str, Any], console: "Console") -> None:
    """Print the counts per task, what was dropped and what is short of its quota."""
    from rich.table import Table

    parts = ("train IND", "validation IND", "test IND", "test OOD")
    table = Table("task", *parts, "left out, by reason", title="Rows")
    for task, counts in manifest["counts"].items():
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in manifest["dropped"][task].items())
        table.add_row(task, *(f"{counts.get(part, 0):,}" for part in parts), reasons)
    console.print(table)
    for file, reasons in manifest["rejected"].items():
        said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        console.print(f"Set aside from {file}: {said}.")
    for task, quotas in manifest["quotas"].items():
        empty = [part for part, quota in quotas.items() if quota and not manifest["counts"][task].get(part)]
        if empty:
            console.print(f"Warning: {task} has no rows in {', '.join(empty)}.")
