"""`ecellm tune`: tune a model on a dataset as a recipe says."""

import os
from pathlib import Path
from typing import Annotated

import typer


def tune(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name (see `ecellm recipes`) or a .toml file.")],
    data: Annotated[Path, typer.Option(help="The DATASET folder.")],
    out: Annotated[Path, typer.Option(help="The MODEL folder to write.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
    setting: Annotated[
        str, typer.Option(help="The setting whose train and validation rows are used.")
    ] = "IND_Diverse_Instruction",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a recipe key: optimisation.epochs=1.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many training rows, spread evenly over tasks.")
    ] = None,
    show_samples: Annotated[
        int, typer.Option(min=0, help="Answer so many validation rows at each validation and show the answers.")
    ] = 0,
    report_to: Annotated[
        str | None, typer.Option(help="Experiment trackers, such as tensorboard,wandb,mlflow,trackio.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what the run would take, from a few measured steps.")
    ] = False,
) -> None:
    """Tune a model on a dataset and write a MODEL folder."""
    from ecellm.dataset.dataset import read_dataset
    from ecellm.files import naming
    from ecellm.tasks import chosen_tasks
    from ecellm.tuning.recipe import read_recipe
    from ecellm.tuning.tune import check as preflight
    from ecellm.tuning.tune import tune as run

    chosen = [task.name for task in chosen_tasks(tasks)] if tasks is not None else None
    read, dataset = read_recipe(recipe, set_), read_dataset(data)
    if check:
        found = preflight(read, dataset, tasks=chosen, setting=setting, limit=limit)
        for name, said in found.lines():
            typer.echo(f"{name:11} {said}")
        found.refuse()
        return
    with naming(out):
        run(
            read,
            dataset,
            out,
            tasks=chosen,
            setting=setting,
            resume=resume,
            limit=limit,
            show_samples=show_samples,
            report_to=[name.strip() for name in (report_to or "").split(",") if name.strip()],
        )
    if os.environ.get("RANK", "0") == "0":
        typer.echo(f"Model written to {out}.")
