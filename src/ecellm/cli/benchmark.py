"""`ecellm benchmark`: a public test set with published figures, from its raw files to a table."""

from pathlib import Path
from typing import Annotated

import typer

RECIPE, BASELINE = "xs", "cheap"


def benchmark(
    name: Annotated[str | None, typer.Argument(help="Which one; left out: all are listed.")] = None,
    data: Annotated[Path | None, typer.Option(help="The folder with its public files, by their usual names.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the run; left out: runs/benchmarks/NAME. Goes on where it is.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="What to tune, a recipe's name or file: xs, unless a --model is named.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Tune with so many seeds; 0 tunes nothing.")] = 3,
    model: Annotated[
        list[str] | None, typer.Option(help="Ask this MODEL folder or base as it is; again for another.")
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="Fit this baseline beside it: cheap, unless named; again for another.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key of the recipe: optimisation.epochs=1.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Tune and fit on at most this many training rows.")] = None,
) -> None:
    """Convert a public test set, tune on its training split, score by its own measure, beside published figures."""
    from ecellm.benchmarks.registry import BENCHMARKS
    from ecellm.benchmarks.registry import benchmark as named

    if name is None:
        for known in BENCHMARKS.values():
            typer.echo(f"{known.name:36} {known.task:4} {known.title}")
        return
    chosen = named(name)
    if data is None:
        raise ValueError(
            f"Give --data: the folder with the files of {chosen.name}, as docs/benchmarks.md names them."
        )
    from ecellm.benchmarks.report import markdown
    from ecellm.benchmarks.running import Plan, run

    if recipe is None and not model:
        recipe = RECIPE
    if not seeds:
        recipe = None
    if set_ and recipe is None:
        raise ValueError("--set changes a recipe, and none is tuned: name one by --recipe, or leave --set out.")
    plan = Plan(
        chosen,
        data,
        out or Path("runs") / "benchmarks" / chosen.name,
        recipe,
        tuple(set_ or ()),
        seeds,
        tuple(model or ()),
        tuple(baseline or (BASELINE,)),
        limit,
    )
    result = run(plan, lambda line: typer.echo(line, err=True))
    typer.echo(markdown(result))
    typer.echo(f"Written to {plan.out}: benchmark.json, benchmark.md.")
