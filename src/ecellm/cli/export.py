"""`ecellm export`: a dataset as the published ECInstruct rows."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    dataset: Annotated[Path, typer.Argument(help="The DATASET folder.")],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    qpr_labels: Annotated[
        Path | None, typer.Option(help="Where to write the ESCI labels of the QPR test rows, as JSON.")
    ] = None,
) -> None:
    """Write a dataset as the published ECInstruct rows, one per sample and setting."""
    from ecellm.dataset.dataset import read_dataset
    from ecellm.dataset.published import export as run
    from ecellm.dataset.published import write_labels

    data = read_dataset(dataset)
    typer.echo(f"{run(data, out):,} rows written to {out}.")
    if qpr_labels is not None:
        typer.echo(f"Labels of {write_labels(data, qpr_labels):,} QPR rows written to {qpr_labels}.")
