"""`ecellm show`: examples as a model will see them."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.cli.options import Changes, Tasks, task_names
from ecellm.errors import ConfigError


def show(
    dataset: Annotated[Path, typer.Argument(help="The DATASET folder.")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe's name or a .toml file.")],
    tasks: Tasks = None,
    setting: Annotated[
        str, typer.Option(help="The setting whose instructions are used.")
    ] = "IND_Diverse_Instruction",
    limit: Annotated[int, typer.Option(min=1, help="So many examples, spread evenly over tasks.")] = 10,
    set_: Changes = None,
) -> None:
    """Print training examples as a recipe's model sees them, token by token: what is learned, what was truncated."""
    from rich.console import Console

    from ecellm.data.dataset import read_dataset, spread
    from ecellm.training.preview import shown
    from ecellm.training.recipe import read_recipe

    data = read_dataset(dataset)
    rows = spread(data.view(setting, "train", task_names(tasks)), limit, data.seed)
    if not rows:
        raise ConfigError(f"{dataset} has no training rows for {setting} and these tasks.")
    console = Console()
    for text in shown(rows, read_recipe(recipe, set_)):
        console.print(text, soft_wrap=True)
