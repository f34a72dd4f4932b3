"""`ecellm simulate`: write the simulated shop's raw files."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    scale: Annotated[
        float, typer.Option(help="1 is about 1,000 products and 6,000 reviews per category; rows grow with it.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed, another shop.")] = 42,
) -> None:
    """Write a simulated shop's raw files in the five public sources' formats."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from ecellm.sources.simulator import simulate as run

    columns = (TextColumn("simulating"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("simulating", total=1.0)
        rows = run(out, scale, seed, lambda share: progress.update(bar, completed=share))
    said = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    typer.echo(f"{said} written to {out}.")
