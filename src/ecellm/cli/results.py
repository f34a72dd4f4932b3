"""`ecellm results`: write the page of results from stored scores."""

from pathlib import Path
from typing import Annotated

import typer


def results(
    folder: Annotated[
        Path,
        typer.Argument(
            help="With introduction.md and, where there are any, for each run a folder with run.json, scores.json, "
            "tfidf.json, manifest.json and text.md; for each study one with its study.md and text.md."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The Markdown page to write; it is replaced.")],
) -> None:
    """Write the page of results from stored scores and run facts."""
    from ecellm.reports.results_page import write_results_page

    write_results_page(folder, out)
    typer.echo(f"Page written to {out}.")
