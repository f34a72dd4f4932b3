"""`ecellm reproduce`: the paper's models and studies, one after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecellm.cli.options import Changes, Jobs, Seeds, TestRows
from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from ecellm.experiments.runner import Grid


def reproduce(
    data: Annotated[Path, typer.Option(help="The DATASET folder: a build of the public sources, or an import.")],
    out: Annotated[Path, typer.Option(help="The folder for all of it; an interrupted run is resumed.")],
    small: Annotated[bool, typer.Option("--small", help="The same with XS alone, on a CPU.")] = False,
    recipe: Annotated[
        list[str] | None, typer.Option(help="These recipes instead of the paper's six; the first is studied most.")
    ] = None,
    seeds: Seeds = 1,
    set_: Changes = None,
    limit: TestRows = None,
    jobs: Jobs = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what it will take.")] = False,
) -> None:
    """Tune and score the paper's models, run its three studies, and report; the plan is printed first."""
    from ecellm.cli.study import devices
    from ecellm.data.dataset import read_dataset
    from ecellm.experiments.reproduce import PAPER, SMALL, grids
    from ecellm.experiments.reproduce import plan as planned
    from ecellm.training.recipe import read_recipe

    if small and recipe:
        raise ConfigError("--small is the recipe xs: leave out --recipe, or --small.")
    recipes = recipe or (SMALL if small else PAPER)
    dataset = read_dataset(data)
    for name in recipes:
        read_recipe(name, set_)
    numbers = [42 + number for number in range(seeds)]
    made = grids(recipes, dataset, out, numbers, set_ or [], limit, devices(jobs))
    needs = planned(made, dataset)
    for one in needs:
        typer.echo(one.text())
    known = [one.rate[0] * one.rows for one in needs if one.rate is not None]
    if len(needs) > 1 and len(known) == len(needs):
        models = sum(one.models for one in needs)
        typer.echo(f"All: {models} models, about {sum(known):,.1f} hours of tuning one after the other.")
    if plan:
        return
    _run(made)
    pages = ", ".join(f"{grid.out.name}/study.html" for grid in made)
    typer.echo(f"All written to {out}: {pages}.")


def _run(grids: "Sequence[Grid]") -> None:
    """Run the studies one after the other and compare their runs."""
    from rich.console import Console

    from ecellm.experiments.summary import summarise

    console = Console(stderr=True)
    for grid in grids:
        console.print(f"{grid.study.title} ({grid.out.name})")
        grid.run(console.print)
        with console.status("comparing"):
            summarise(grid, 42)
