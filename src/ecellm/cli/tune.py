"""`ecellm tune`: tune a model on a dataset as a recipe says."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ecellm.cli.options import Changes, Data, Tasks, refuse_ignored, task_names

Recipe = Annotated[str, typer.Argument(help="A shipped recipe's name (see `ecellm recipes`) or a .toml file.")]
Out = Annotated[Path, typer.Option(help="The MODEL folder to write.")]
Setting = Annotated[str, typer.Option(help="The setting whose train and validation rows are used.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many training rows, spread evenly over tasks.")]
Samples = Annotated[
    int, typer.Option(min=0, help="Answer so many validation rows at each validation and show the answers.")
]
Trackers = Annotated[str | None, typer.Option(help="Experiment trackers, such as tensorboard,wandb,mlflow,trackio.")]
Check = Annotated[bool, typer.Option("--check", help="Only say what the run would take, from a few measured steps.")]


def tune(
    recipe: Recipe,
    data: Data,
    out: Out,
    tasks: Tasks = None,
    setting: Setting = "IND_Diverse_Instruction",
    resume: Resume = False,
    set_: Changes = None,
    limit: Limit = None,
    show_samples: Samples = 0,
    report_to: Trackers = None,
    check: Check = False,
) -> None:
    """Tune a model on a dataset and write a MODEL folder."""
    from ecellm.data.dataset import read_dataset
    from ecellm.io.files import reporting_disk_full
    from ecellm.training.recipe import read_recipe
    from ecellm.training.tune import check as preflight
    from ecellm.training.tune import tune as run

    if check:
        given = {"--resume": resume, "--show-samples": show_samples or None, "--report-to": report_to}
        refuse_ignored("belongs to a run, and --check begins none", given)
    chosen = task_names(tasks)
    read, dataset = read_recipe(recipe, set_), read_dataset(data)
    if check:
        found = preflight(read, dataset, tasks=chosen, setting=setting, limit=limit)
        for name, text in found.lines():
            typer.echo(f"{name:11} {text}")
        found.refuse()
        return
    with reporting_disk_full(out):
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
