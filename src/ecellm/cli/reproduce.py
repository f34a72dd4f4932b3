"""`ecellm reproduce`: the paper's models and studies, one after the other."""

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    data: Annotated[Path, typer.Option(help="The DATASET folder: a build of the public sources, or an import.")],
    out: Annotated[Path, typer.Option(help="The folder for all of it; one that was interrupted goes on.")],
    small: Annotated[bool, typer.Option("--small", help="The same with XS alone, on a CPU.")] = False,
    recipe: Annotated[
        list[str] | None, typer.Option(help="These recipes instead of the paper's six; the first is studied most.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat every run with so many seeds.")] = 1,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key of every recipe: optimisation.epochs=1.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask at most this many test rows under each setting.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; without it, one on each accelerator, or one.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what it will take.")] = False,
) -> None:
    """Tune, ask and score the paper's models, run its three studies, and report; the plan is printed first."""
    from rich.console import Console

    from ecellm.cli.study import devices
    from ecellm.dataset.dataset import read_dataset
    from ecellm.studies.reproduce import PAPER, SMALL, grids
    from ecellm.studies.reproduce import plan as planned
    from ecellm.tuning.recipe import read_recipe

    if small and recipe:
        raise ValueError("--small is the recipe xs: leave out --recipe, or --small.")
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
    console = Console(stderr=True)
    from ecellm.studies.summary import summarise

    for grid in made:
        console.print(f"{grid.study.title} ({grid.out.name})")
        grid.run(console.print)
        with console.status("comparing"):
            summarise(grid, 42)
    pages = ", ".join(f"{grid.out.name}/study.html" for grid in made)
    typer.echo(f"All written to {out}: {pages}.")
