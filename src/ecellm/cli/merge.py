"""`ecellm merge`: an adapter and its base become one model."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    model: Annotated[Path, typer.Argument(help="The MODEL folder of an adapter.")],
    out: Annotated[Path, typer.Option(help="The MODEL folder to write.")],
) -> None:
    """Merge an adapter into its base: a folder that transformers and vLLM load as it is."""
    from ecellm.models.merging import merge as run

    apart = run(model, out)
    typer.echo(f"Merged model written to {out}; its logits differ by at most {apart:.1e} of the largest.")
