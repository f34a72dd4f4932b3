"""`ecellm calibrate`: fit a model's temperatures on a dataset's validation rows."""

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    model: Annotated[Path, typer.Argument(help="The MODEL folder.")],
    data: Annotated[Path, typer.Option(help="The DATASET folder.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
) -> None:
    """Fit, task by task, what makes a model's probabilities mean what they say; no answer changes."""
    from ecellm.dataset.dataset import read_dataset
    from ecellm.inference.asking import Asking
    from ecellm.inference.calibration import FEWEST_ROWS
    from ecellm.inference.calibration import calibrate as run
    from ecellm.models.folder import read_facts
    from ecellm.records import DIVERSE
    from ecellm.tasks import chosen_tasks

    chosen = [task.name for task in chosen_tasks(tasks)]
    dataset = read_dataset(data)
    read_facts(model)
    with Asking() as progress:
        fitted = run(model, dataset.view(f"IND_{DIVERSE}", "validation", chosen), dataset.seed, chosen, progress)
    if not fitted:
        raise ValueError(f"{data} has no closed task with {FEWEST_ROWS} validation rows: nothing can be fitted.")
    said = ", ".join(f"{task} {temperature:.2f}" for task, temperature in fitted.items())
    typer.echo(f"Temperatures saved with {model}: {said}.")
