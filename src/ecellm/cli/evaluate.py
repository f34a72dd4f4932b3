"""`ecellm evaluate`: score a predictions file."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Lines with id, task, setting and text.")],
    data: Annotated[Path, typer.Option(help="The DATASET folder that was asked.")],
    out: Annotated[Path, typer.Option(help="The SCORES.json to write.")],
    seed: Annotated[int, typer.Option(help="Of the bootstrap draws and the random floors.")] = 42,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing SCORES.json.")] = False,
) -> None:
    """Score answers, strictly and the published way, beside the best trivial answers."""
    from ecellm.dataset.dataset import read_dataset
    from ecellm.evaluation.evaluate import evaluate as run
    from ecellm.evaluation.evaluate import write_scores
    from ecellm.evaluation.table import print_scores

    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists already: name another file, or add --overwrite.")
    scores = run(predictions, read_dataset(data), seed=seed)
    write_scores(scores, out)
    print_scores(scores)
    typer.echo(f"Scores written to {out}.")
