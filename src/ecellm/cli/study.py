"""`ecellm study`: the paper's studies, each a grid of ordinary runs."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.cli.options import Changes, Data, Jobs, Seeds, TestRows, refuse_ignored
from ecellm.errors import ConfigError


def study(
    name: Annotated[str, typer.Argument(help="generalist, instructions, scale or bases.")],
    recipe: Annotated[list[str], typer.Option(help="A recipe's name or file; bases takes several.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder of the study; an interrupted one is resumed.")],
    sizes: Annotated[
        str | None, typer.Option(help="scale: training rows, such as 500,2000; without it, the paper's shares.")
    ] = None,
    seeds: Seeds = 1,
    set_: Changes = None,
    limit: TestRows = None,
    jobs: Jobs = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print the commands that it consists of.")] = False,
) -> None:
    """Tune and score the models of a study, and compare them: study.html, study.md and report.html."""
    import shlex

    from rich.console import Console

    from ecellm.data.dataset import read_dataset
    from ecellm.experiments.plans import STUDIES
    from ecellm.experiments.runner import Grid
    from ecellm.training.recipe import read_recipe

    if name not in STUDIES:
        raise ConfigError(f"There is no study {name!r}: choose from {', '.join(STUDIES)}.")
    if name != "scale":
        refuse_ignored("is of the study scale", {"--sizes": sizes})
    dataset = read_dataset(data)
    for one in recipe:
        read_recipe(one, set_)
    made = STUDIES[name](dataset, recipe, _numbers(sizes))
    grid = Grid(made, dataset, out, [42 + number for number in range(seeds)], set_ or [], limit, devices(jobs))
    if plan:
        for arm, seed in grid.arms():
            for command in grid.commands(arm, seed):
                typer.echo(f"ecellm {shlex.join(command)}")
        return
    console = Console(stderr=True)
    grid.run(console.print)
    with console.status("comparing"):
        from ecellm.experiments.summary import summarise

        summarise(grid, 42)
    typer.echo(f"Study written to {out}: study.html, study.md, report.html.")


def _numbers(text: str | None) -> list[int]:
    if text is None:
        return []
    try:
        return [int(part.replace("_", "")) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--sizes {text}: give whole numbers with commas, such as 500,2000.") from error


def devices(jobs: int | None) -> list[str]:
    """Return a device for each run at a time; an empty text leaves the choice to the run."""
    import torch

    cards = [str(number) for number in range(torch.cuda.device_count())]
    if jobs is None:
        return cards or [""]
    return [cards[number % len(cards)] if cards else "" for number in range(jobs)]
