"""`ecellm benchmark`: a public test set with published figures, from its raw files to a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecellm.cli.options import Changes, refuse_ignored
from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from ecellm.experiments.benchmarks.runner import BenchmarkPlan

RECIPE, BASELINE, SEEDS = "xs", "tfidf", 3

Name = Annotated[str | None, typer.Argument(help="Which one; without it, all are listed.")]
Files = Annotated[Path | None, typer.Option(help="The folder with its public files, by their usual names.")]
Out = Annotated[
    Path | None, typer.Option(help="The folder of the run, which is resumed; without it, runs/benchmarks/NAME.")
]
Recipe = Annotated[
    str | None, typer.Option(help="What to tune, a recipe's name or file: xs, unless a --model is named.")
]
Seeds = Annotated[int | None, typer.Option(min=0, help="Tune with so many seeds, 3 unless given; 0 tunes nothing.")]
Models = Annotated[
    list[str] | None, typer.Option(help="Evaluate this MODEL folder or base as it is; may be repeated.")
]
Baselines = Annotated[
    list[str] | None, typer.Option(help="Fit this baseline too, by default tfidf; may be repeated.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Tune and fit on at most this many training rows.")]


def benchmark(
    name: Name = None,
    data: Files = None,
    out: Out = None,
    recipe: Recipe = None,
    seeds: Seeds = None,
    model: Models = None,
    baseline: Baselines = None,
    set_: Changes = None,
    limit: Limit = None,
) -> None:
    """Convert a public test set, tune on its training split, score by its own measure, beside published figures."""
    from ecellm.experiments.benchmarks.registry import BENCHMARKS
    from ecellm.experiments.benchmarks.registry import benchmark as named

    if name is None:
        options = {"--data": data, "--out": out, "--recipe": recipe, "--seeds": seeds, "--model": model}
        options |= {"--baseline": baseline, "--set": set_, "--limit": limit}
        refuse_ignored("is of a benchmark, and none is named", options)
        for known in BENCHMARKS.values():
            typer.echo(f"{known.name:36} {known.task:4} {known.title}")
        return
    chosen = named(name)
    if data is None:
        raise ConfigError(
            f"Give --data: the folder with the files of {chosen.name}, as docs/benchmarks.md names them."
        )
    from ecellm.experiments.benchmarks.runner import BenchmarkPlan

    if seeds == 0:
        refuse_ignored("names what is tuned, and --seeds 0 tunes nothing", {"--recipe": recipe})
    elif recipe is None and not model:
        recipe = RECIPE
    if recipe is None:
        refuse_ignored("is of tuning, and no --recipe is named", {"--seeds": seeds or None})
    if set_ and recipe is None:
        raise ConfigError("--set changes a recipe, and none is tuned: name one by --recipe, or leave --set out.")
    folder = out or Path("runs") / "benchmarks" / chosen.name
    models, baselines = tuple(model or ()), tuple(baseline or (BASELINE,))
    seeds = SEEDS if seeds is None else seeds
    _run(BenchmarkPlan(chosen, data, folder, recipe, tuple(set_ or ()), seeds, models, baselines, limit))


def _run(plan: "BenchmarkPlan") -> None:
    """Run the benchmark and print its table."""
    from ecellm.experiments.benchmarks.report import markdown
    from ecellm.experiments.benchmarks.runner import run

    result = run(plan, lambda line: typer.echo(line, err=True))
    typer.echo(markdown(result))
    typer.echo(f"Written to {plan.out}: benchmark.json, benchmark.md.")
