"""`ecellm recipes`: list the shipped recipes, or print one to copy and edit."""

from typing import Annotated

import typer


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe; without it, list all.")] = None,
) -> None:
    """List the shipped recipes, or print one."""
    from ecellm.tuning.recipe import recipe_names, recipe_text

    if name is not None:
        typer.echo(recipe_text(name), nl=False)
        return
    for known in recipe_names():
        typer.echo(f"{known:12} {recipe_text(known).splitlines()[0].removeprefix('# ')}")
