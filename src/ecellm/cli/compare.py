"""`ecellm compare`: what changed from one run to another, and whether it is beyond noise."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from ecellm.cli.options import Overwrite


class Scoring(StrEnum):
    """Which rules."""

    strict = "strict"
    published = "published"


def compare(
    before: Annotated[str, typer.Argument(help="A run: a folder, a PREDICTIONS.jsonl or a SCORES.json; or NAME=it.")],
    after: Annotated[str, typer.Argument(help="The other one.")],
    data: Annotated[Path | None, typer.Option(help="The runs' DATASET folder, where they do not hold it.")] = None,
    scoring: Annotated[Scoring, typer.Option(help="By which rules.")] = Scoring.strict,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 42,
    out: Annotated[Path | None, typer.Option(help="Write the differences here too, as JSON.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Say what changed by task and setting, beyond noise or not; exit code 1 where something got worse beyond it.

    Where both runs have their answers, these are compared row by row; otherwise the intervals of the scores are.
    """
    from ecellm.data.dataset import own_files, read_dataset
    from ecellm.evaluation.compare import compare_runs, not_compared, write_differences
    from ecellm.evaluation.runs import read_run, with_distinct_names
    from ecellm.io.files import refuse_overwriting
    from ecellm.reports.console import print_differences

    inputs = [Path(run.rpartition("=")[2]) for run in (before, after)]
    refuse_overwriting([] if out is None else [out], overwrite, [*inputs, *own_files(data)])
    dataset = None if data is None else read_dataset(data)
    runs = with_distinct_names(read_run(before, dataset), read_run(after, dataset))
    rules: Literal["strict", "published"] = "strict" if scoring is Scoring.strict else "published"
    differences, paired = compare_runs(*runs, seed, rules)
    if out is not None:
        write_differences(differences, paired, out)
    print_differences(differences, runs[0].name, runs[1].name, paired)
    for why, places in not_compared(*runs, differences, rules).items():
        typer.echo(f"ecellm: not compared ({why}): {', '.join(places)}.", err=True)
    worse = [f"{found.task} {found.setting}" for found in differences if found.verdict == "worse"]
    if worse:
        typer.echo(f"ecellm: regression beyond noise: {', '.join(worse)}.", err=True)
        raise typer.Exit(1)
