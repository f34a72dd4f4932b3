"""`ecellm simulate`: write the simulated shop's raw files."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    scale: Annotated[float, typer.Option(help="How big the shop is; 1.0 is the demo's size.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 42,
) -> None:
    """Write a simulated shop in the real formats of all five sources."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from ecellm.data.simulator import simulate as run

    columns = (TextColumn("simulating"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("simulating", total=1.0)
        rows = run(out, scale, seed, lambda share: progress.update(bar, completed=share))
    counts = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    typer.echo(f"Simulated shop written to {out}: {counts}.")
