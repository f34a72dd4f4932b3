"""`ecellm join`: the answers of a run's shards become one file."""

from pathlib import Path
from typing import Annotated

import typer


def join(
    parts: Annotated[list[Path], typer.Argument(help="Files of answers that `ecellm predict --shard` wrote.")],
    out: Annotated[Path, typer.Option(help="The file of answers to write.")],
) -> None:
    """Join the answers of a run's shards: their records must agree, and no question may have two answers."""
    from ecellm.inference.join import join as run

    joined = run(parts, out)
    more = f" ({joined.twice:,} stood there twice)" if joined.twice else ""
    typer.echo(f"{joined.answers:,} answers{more} written to {out}.")
    for line in joined.short:
        typer.echo(line)
    if joined.failed:
        typer.echo(
            f"{joined.failed:,} questions of the parts had no answer; `ecellm predict --out {out}` retries them."
        )
