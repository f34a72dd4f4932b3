"""`ecellm predict`: ask a model the test questions of a dataset."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[Path, typer.Argument(help="The MODEL folder.")],
    data: Annotated[Path, typer.Option(help="The DATASET folder.")],
    out: Annotated[Path, typer.Option(help="The file of answers, one JSON object a line; it is appended to.")],
    setting: Annotated[
        str | None, typer.Option(help="Only this setting; without it, all that the dataset has.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many questions in all, spread evenly over tasks.")
    ] = None,
) -> None:
    """Ask a model the test questions of a dataset; a run that was interrupted goes on where it stopped."""
    from ecellm.dataset.dataset import read_dataset
    from ecellm.inference.asking import Asking
    from ecellm.inference.load import load_generator
    from ecellm.inference.predict import predict as run
    from ecellm.inference.predict import questions
    from ecellm.models.folder import model_hash, read_facts
    from ecellm.tasks import chosen_tasks

    dataset = read_dataset(data)
    # A baseline answers the tasks that it was fitted on; a tuned model is asked all.
    answered = read_facts(model).get("tasks")
    chosen = [task.name for task in chosen_tasks(tasks)] if tasks is not None else answered
    asked = questions(dataset, None if setting is None else [setting], chosen, limit)
    whose = {"model": model_hash(model), "dataset": dataset.hash()}
    with Asking() as progress:
        counts = run(load_generator(model), asked, out, whose, progress)
    typer.echo(
        f"{counts.answered:,} answered, {counts.skipped:,} skipped (answered before), "
        f"{counts.unparsed:,} unparsed, {counts.cut_prompts:,} cut prompts."
    )
    if counts.cut:
        said = ", ".join(f"{what} {count:,}" for what, count in sorted(counts.cut.items()))
        typer.echo(f"Cut from prompts: {said}.")
    typer.echo(f"Answers written to {out}.")
