"""`ecellm report`: any number of runs on one page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs: folders such as `ecellm demo` leaves, or SCORES.json files; or NAME=it."),
    ],
    out: Annotated[Path, typer.Option(help="The HTML page to write.")],
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown too.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The DATASET folder that was asked, where the runs do not hold it.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of the page.")] = "Scores",
    seed: Annotated[int, typer.Option(help="Of the draws of the tests between runs.")] = 42,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Write one self-contained page: scores beside the published ones, differences, errors, how it was made."""
    from rich.console import Console

    from ecellm.dataset.dataset import read_dataset
    from ecellm.evaluation.report import read_report, write_markdown, write_report
    from ecellm.evaluation.runs import read_runs
    from ecellm.files import refuse_overwriting

    inputs = [Path(run) for run in runs] + [Path(run.partition("=")[2]) for run in runs if "=" in run]
    refuse_overwriting([out, *([markdown] if markdown else [])], overwrite, inputs)
    found = read_runs(runs, None if data is None else read_dataset(data))
    with Console(stderr=True).status("comparing"):
        made = read_report(found, title, seed)
    write_report(made, out)
    typer.echo(f"Report written to {out}.")
    if markdown is not None:
        write_markdown(made, markdown)
        typer.echo(f"Tables written to {markdown}.")
