"""`ecellm baseline`: answer with the cheap models that a tuned model has to beat."""

from pathlib import Path
from typing import Annotated

import typer


def baseline(
    data: Annotated[Path, typer.Option(help="The DATASET folder.")],
    out: Annotated[Path, typer.Option(help="The PREDICTIONS.jsonl to write, for `ecellm evaluate`.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
    setting: Annotated[
        str | None, typer.Option(help="Only this setting; without it, the two with diverse instructions.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Fit cheap models (TF-IDF, logistic regression, a dictionary) and write their answers."""
    from rich.console import Console

    from ecellm.baselines.cheap import predict_cheaply
    from ecellm.dataset.dataset import read_dataset, split_setting
    from ecellm.tasks import chosen_tasks

    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists already: name another file, or add --overwrite.")
    chosen = [task.name for task in chosen_tasks(tasks)]
    if setting is not None:
        split_setting(setting)
    with Console(stderr=True).status("starting") as status:
        written = predict_cheaply(
            read_dataset(data),
            out,
            chosen,
            None if setting is None else [setting],
            lambda task: status.update(f"fitting and asking: {task}"),
        )
    typer.echo(f"{written:,} answers written to {out}.")
