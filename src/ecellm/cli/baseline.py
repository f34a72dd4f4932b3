"""`ecellm baseline`: fit the models that a tuned model has to beat."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.cli.options import Data, Tasks, refuse_ignored, task_names


def baseline(
    name: Annotated[str, typer.Argument(help="Which one: see docs/baselines.md.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The MODEL folder to write, for `ecellm predict`.")],
    tasks: Tasks = None,
    base: Annotated[
        str | None,
        typer.Option(help="Of encoder and aveqa: a model's folder or its name on the hub; minilm unless given."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; without it, the model's own number.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many training rows of a task.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of the fit.")] = 42,
) -> None:
    """Fit a baseline, one small model for each task, into a MODEL folder; an interrupted fit is resumed."""
    from ecellm.data.dataset import read_dataset
    from ecellm.models.baselines.base import Choices
    from ecellm.models.baselines.fit import fit_baseline
    from ecellm.models.baselines.progress import Fitting
    from ecellm.models.baselines.registry import KINDS, tasks_of
    from ecellm.models.load import best_device

    tasks_of(name)
    if not KINDS[name].has_base:
        refuse_ignored(f"names an encoder, and {name} has none", {"--base": base})
    if not KINDS[name].has_epochs:
        refuse_ignored(f"is of models that are trained in epochs, and {name} is not", {"--epochs": epochs})
    choices = Choices(base or Choices.base, epochs, limit, seed, best_device())
    notes: list[str] = []
    with Fitting() as fitting:
        fitted = fit_baseline(name, read_dataset(data), out, task_names(tasks), choices, fitting, notes.append)
    for line in notes:
        typer.echo(line)
    typer.echo(f"Fitted {name} on {', '.join(fitted)}; model written to {out}.")
