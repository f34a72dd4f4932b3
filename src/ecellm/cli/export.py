"""`ecellm export`: a dataset as the published ECInstruct rows, or as tasks of lm-evaluation-harness."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecellm.errors import ConfigError


class ExportFormat(StrEnum):
    """What to write."""

    published = "published"
    lm_eval = "lm-eval"


class Spelling(StrEnum):
    """How the published rows name their tasks."""

    unchanged = "unchanged"
    authors = "authors"


def export(
    dataset: Annotated[Path, typer.Argument(help="The DATASET folder.")],
    out: Annotated[Path, typer.Option(help="The JSON file to write; for lm-eval, the folder.")],
    format: Annotated[
        ExportFormat, typer.Option(help="The published ECInstruct rows, or task files for lm-evaluation-harness.")
    ] = ExportFormat.published,
    setting: Annotated[
        list[str] | None, typer.Option(help="For lm-eval: only this setting; may be given more than once.")
    ] = None,
    spelling: Annotated[
        Spelling,
        typer.Option(
            help="How rows name their tasks: unchanged (as in the imported file, else by the correct title), or as "
            "the authors' evaluate.py compares them, misspellings included (Product_Relation_Predicition, ...)."
        ),
    ] = Spelling.unchanged,
    qpr_labels: Annotated[
        Path | None, typer.Option(help="Where to write the ESCI labels of the QPR test rows, as JSON.")
    ] = None,
) -> None:
    """Write a dataset as the published ECInstruct rows, one per example and setting, or as lm-eval tasks."""
    from ecellm.data.dataset import read_dataset
    from ecellm.data.ecinstruct.format import export as run
    from ecellm.data.ecinstruct.format import write_labels
    from ecellm.io.files import all_or_none

    data = read_dataset(dataset)
    if format is ExportFormat.lm_eval:
        from ecellm.evaluation.lm_eval_harness import export_harness

        if qpr_labels is not None:
            raise ConfigError("--qpr-labels belongs to the published rows: lm-eval's tasks hold the labels.")
        if spelling is not Spelling.unchanged:
            raise ConfigError("--spelling belongs to the published rows: lm-eval's tasks have names of their own.")
        typer.echo(f"{export_harness(data, out, setting)} tasks written to {out}.")
        return
    if setting is not None:
        raise ConfigError("--setting belongs to --format lm-eval: the published rows are those of every setting.")
    with all_or_none([out]):
        count = run(data, out, spelling is Spelling.authors)
        labels = 0 if qpr_labels is None else write_labels(data, qpr_labels)
    typer.echo(f"{count:,} rows written to {out}.")
    if qpr_labels is not None:
        typer.echo(f"Labels of {labels:,} QPR rows written to {qpr_labels}.")
