"""`ecellm recipes`: list the shipped recipes, print one, or copy it out to edit."""

from pathlib import Path
from typing import Annotated

import typer

from ecellm.errors import ConfigError


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe; without it, list all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Copy the recipe to this .toml file, to edit it.")] = None,
) -> None:
    """List the shipped recipes, print one, or copy it out."""
    from ecellm.io.files import atomic_write
    from ecellm.training.recipe import recipe_names, recipe_text

    if out is not None:
        if name is None or out.suffix != ".toml" or out.exists():
            raise ConfigError(f"--out {out}: name a recipe to copy, and a new file that ends in .toml.")
        with atomic_write(out) as path:
            path.write_text(recipe_text(name), encoding="utf-8")
        typer.echo(f"{name} copied to {out}: edit it, then `ecellm tune {out}`.")
        return
    if name is not None:
        typer.echo(recipe_text(name), nl=False)
        return
    for known in recipe_names():
        typer.echo(f"{known:14} {recipe_text(known).splitlines()[0].removeprefix('# ')}")
