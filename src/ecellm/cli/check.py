"""`ecellm check`: whether a dataset's splits keep apart what they should."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.errors import ConfigError


def check(
    dataset: Annotated[Path, typer.Argument(help="The DATASET folder, built or imported.")],
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail for near-duplicates, shared products and shoppers and odd answers too."),
    ] = False,
) -> None:
    """Look for inputs and labels that cross splits, near-duplicates, shared products and shoppers, odd answers."""
    from rich.console import Console
    from rich.table import Table

    from ecellm.data.checks import check as run
    from ecellm.data.dataset import read_dataset

    data = read_dataset(dataset)
    with Console(stderr=True).status("checking") as status:
        findings = run(data, status.update)
    table = Table("task", "rows", "of", "what", "fails", title=f"What is wrong with {dataset}")
    table.add_column("such as", overflow="fold")  # a truncated id identifies nothing
    for found in findings:
        fails = "yes" if found.fatal else "strict" if not strict else "yes"
        examples = ", ".join(found.examples)
        table.add_row(found.task, f"{found.rows:,}", f"{found.of:,}", found.what, fails, examples)
    if findings:
        Console().print(table)
    failed = [found for found in findings if found.fatal or strict]
    if failed:
        problems = "; ".join(f"{found.task}: {found.what} ({found.rows:,})" for found in failed)
        raise ConfigError(f"{dataset} does not pass: {problems}.")
    typer.echo(f"{dataset} passes{' the strict check' if strict else ''}: no input and no label crosses its splits.")
