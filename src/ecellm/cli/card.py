"""`ecellm card`: a dataset's data card, one HTML page; a model's card, the README.md of its folder."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.errors import ConfigError


def card(
    folder: Annotated[Path, typer.Argument(help="A DATASET folder, built or imported, or a MODEL folder.")],
    out: Annotated[Path | None, typer.Option(help="A dataset's page; without it, card.html in the folder.")] = None,
    scores: Annotated[Path | None, typer.Option(help="A model's SCORES.json, to stand on its card.")] = None,
) -> None:
    """Write a dataset's card (counts, lengths, examples, what was filtered) or a model's (its run and scores)."""
    from ecellm.models.folder import is_finished

    if is_finished(folder):
        _model_card(folder, out, scores)
    elif scores is not None:
        raise ConfigError(f"{folder} is no finished model: --scores stand on a model's card.")
    else:
        _data_card(folder, out)


def _model_card(model: Path, out: Path | None, scores: Path | None) -> None:
    import json

    from ecellm.models.load import identity
    from ecellm.models.model_card import CARD, write_model_card
    from ecellm.reports.model_scores import model_scores

    if out is not None:
        raise ConfigError(f"A model's card is {CARD} in its folder: leave out --out.")
    section = ""
    if scores is not None:
        try:
            read = json.loads(scores.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{scores} is not valid JSON: write it with `ecellm evaluate`.") from error
        section = model_scores(read)
        if read.get("model", known := identity(model)["model"]) != known:
            raise ConfigError(
                f"{scores} has the scores of another model, or of {model} before it was changed: predict and "
                "evaluate again."
            )
    write_model_card(model, section)
    typer.echo(f"Model card written to {model / CARD}.")


def _data_card(dataset: Path, out: Path | None) -> None:
    from rich.console import Console

    from ecellm.data.checks import check
    from ecellm.data.dataset import own_files, read_dataset
    from ecellm.io.files import atomic_write, refuse_overwriting
    from ecellm.reports.data_card import data_card

    data = read_dataset(dataset)
    page = out or dataset / "card.html"
    refuse_overwriting([page], True, own_files(dataset))
    with Console(stderr=True).status("checking") as status:
        text = data_card(data, check(data, status.update))
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(f"Data card written to {page}.")
