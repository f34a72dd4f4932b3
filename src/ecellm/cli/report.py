"""`ecellm report`: any number of runs on one page."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.cli.options import Overwrite


def report(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs: folders such as `ecellm demo` leaves, or SCORES.json files; or NAME=PATH."),
    ],
    out: Annotated[Path, typer.Option(help="The HTML page to write.")],
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown too.")] = None,
    data: Annotated[Path | None, typer.Option(help="The runs' DATASET folder, where they do not hold it.")] = None,
    title: Annotated[str, typer.Option(help="The page's title.")] = "Scores",
    seed: Annotated[int, typer.Option(help="The seed of the tests between runs.")] = 42,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained page: scores beside the published ones, differences, errors, how it was made."""
    from rich.console import Console

    from ecellm.data.dataset import own_files, read_dataset
    from ecellm.evaluation.runs import read_runs
    from ecellm.io.files import refuse_overwriting, write_text
    from ecellm.reports.report import read_report
    from ecellm.reports.report_markdown import report_markdown
    from ecellm.reports.report_page import report_page

    inputs = [Path(run) for run in runs] + [Path(run.partition("=")[2]) for run in runs if "=" in run]
    refuse_overwriting([out, *([markdown] if markdown else [])], overwrite, [*inputs, *own_files(data)])
    found = read_runs(runs, None if data is None else read_dataset(data))
    with Console(stderr=True).status("comparing"):
        made = read_report(found, title, seed)
    write_text(report_page(made), out)
    typer.echo(f"Report written to {out}.")
    if markdown is not None:
        write_text(report_markdown(made), markdown)
        typer.echo(f"Tables written to {markdown}.")
