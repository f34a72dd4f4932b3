"""`ecellm baseline`: fit the models that a tuned model has to beat."""

from pathlib import Path
from typing import Annotated

import typer


def baseline(
    name: Annotated[str, typer.Argument(help="Which one: see docs/baselines.md.")],
    data: Annotated[Path, typer.Option(help="The DATASET folder.")],
    out: Annotated[Path, typer.Option(help="The MODEL folder to write, for `ecellm predict`.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
    base: Annotated[
        str, typer.Option(help="Of encoder and aveqa: minilm, a model's folder or its name on the hub.")
    ] = "minilm",
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; without it, the model's own number.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many training rows of a task.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of the fit.")] = 42,
) -> None:
    """Fit a baseline, one small model for each task, into a MODEL folder; an interrupted fit is resumed."""
    from ecellm.data.dataset import read_dataset
    from ecellm.models.baselines.base import Choices
    from ecellm.models.baselines.fit import fit_baseline
    from ecellm.models.baselines.progress import Fitting
    from ecellm.models.baselines.registry import tasks_of
    from ecellm.models.load import best_device
    from ecellm.tasks import chosen_tasks

    tasks_of(name)
    chosen = None if tasks is None else [task.name for task in chosen_tasks(tasks)]
    choices = Choices(base, epochs, limit, seed, best_device())
    notes: list[str] = []
    with Fitting() as fitting:
        fitted = fit_baseline(name, read_dataset(data), out, chosen, choices, fitting, notes.append)
    for line in notes:
        typer.echo(line)
    typer.echo(f"Fitted {name} on {', '.join(fitted)}; model written to {out}.")
