"""`ecellm evaluate`: score a predictions file."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.cli.options import Overwrite, refuse_ignored

#: Errors that are written of each task and setting, and the layer of roberta-large, unless told otherwise.
WORST, LAYER = 20, 17

Worst = Annotated[int | None, typer.Option(min=1, help="How many errors of each task and setting; 20 unless given.")]
Scorer = Annotated[
    str | None, typer.Option(help="Compare free texts by this model, a folder or a hub name such as roberta-large.")
]
Layer = Annotated[
    int | None, typer.Option(min=1, help="The layer of that model; 17, as of roberta-large, unless given.")
]


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Lines with id, task, setting and text.")],
    data: Annotated[Path, typer.Option(help="The DATASET folder of the predictions.")],
    out: Annotated[Path, typer.Option(help="The SCORES.json to write.")],
    by: Annotated[
        list[str] | None,
        typer.Option(help="Score parts of the rows too: by category, length, label or a column of test.parquet."),
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(help="Write the worst errors here, as JSON lines: question, answer and reference.")
    ] = None,
    worst: Worst = None,
    bleurt: Annotated[
        Path | None,
        typer.Option(help="BLEURT values that your own BLEURT wrote: JSON lines with id, setting, bleurt."),
    ] = None,
    bertscore_model: Scorer = None,
    bertscore_layer: Layer = None,
    seed: Annotated[int, typer.Option(help="The seed of the bootstrap and of the random baseline.")] = 42,
    overwrite: Overwrite = False,
) -> None:
    """Score predictions by the strict and the published rules, beside the best trivial baseline."""
    from ecellm.data.dataset import own_files, read_dataset
    from ecellm.evaluation.evaluate import evaluate as run
    from ecellm.evaluation.evaluate import write_scores
    from ecellm.evaluation.worst_errors import worst_errors, write_errors
    from ecellm.io.files import all_or_none, refuse_overwriting
    from ecellm.reports.console import print_scores

    if errors is None:
        refuse_ignored("is for --errors FILE, which is missing", {"--worst": worst})
    if bertscore_model is None:
        refuse_ignored("is for --bertscore-model, which is missing", {"--bertscore-layer": bertscore_layer})
    refuse_overwriting([out, *([errors] if errors else [])], overwrite, [predictions, bleurt, *own_files(data)])
    dataset = read_dataset(data)
    pairs = None
    if bertscore_model is not None:
        from ecellm.evaluation.bertscore import BertScorer

        pairs = BertScorer(bertscore_model, bertscore_layer or LAYER)
    scores = run(predictions, dataset, seed=seed, pairs=pairs, by=by or (), bleurt=bleurt)
    with all_or_none([out, *([errors] if errors else [])]):
        if errors is not None:
            write_errors(worst_errors(predictions, dataset, most=worst or WORST, seed=seed, pairs=pairs), errors)
        write_scores(scores, out)
    print_scores(scores)
    typer.echo(f"Scores written to {out}.")
    if errors is not None:
        typer.echo(f"Worst errors written to {errors}.")
