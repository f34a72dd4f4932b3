"""`ecellm card`: a dataset's data card, one HTML page."""

from pathlib import Path
from typing import Annotated

import typer


def card(
    dataset: Annotated[Path, typer.Argument(help="The DATASET folder, built or imported.")],
    out: Annotated[Path | None, typer.Option(help="The page to write; without it, card.html in the folder.")] = None,
) -> None:
    """Write a dataset's data card: counts, lengths, balance, examples, what was left out, what crosses splits."""
    from rich.console import Console

    from ecellm.dataset.card import data_card
    from ecellm.dataset.check import check
    from ecellm.dataset.dataset import read_dataset
    from ecellm.files import whole_file

    data = read_dataset(dataset)
    page = out or dataset / "card.html"
    with Console(stderr=True).status("checking") as status:
        text = data_card(data, check(data, status.update))
    with whole_file(page) as beside:
        beside.write_text(text, encoding="utf-8")
    typer.echo(f"Data card written to {page}.")
