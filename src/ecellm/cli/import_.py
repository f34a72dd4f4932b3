"""`ecellm import`: the published ECInstruct rows as a dataset."""

from pathlib import Path
from typing import Annotated, BinaryIO

import typer

#: Keys that are named of those that are not read.
SHOWN = 5


def import_(
    file: Annotated[Path, typer.Argument(help="The published JSON file: an array of rows, or a row a line.")],
    out: Annotated[Path, typer.Option(help="The DATASET folder to write.")],
    qpr_labels: Annotated[
        Path | None, typer.Option(help="The ESCI labels of the QPR test rows: a JSON list of lists, in file order.")
    ] = None,
) -> None:
    """Read published ECInstruct rows into a dataset; rows repeated under several settings become one example."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from ecellm.data.ecinstruct.importing import import_published

    console = Console(stderr=True)
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:

        def follow(opened: BinaryIO) -> BinaryIO:
            return progress.wrap_file(opened, total=file.stat().st_size)

        manifest = import_published(file, out, qpr_labels, follow)
    for reasons in manifest["rejected"].values():
        for reason, count in reasons.items():
            console.print(f"Rejected: {reason}: {count:,} (in {out / 'rejects.jsonl'}).", highlight=False)
    for reasons in manifest["converted"].values():
        for reason, count in reasons.items():
            console.print(f"Converted: {reason}: {count:,}.", highlight=False)
    for keys in manifest["unread_keys"].values():
        named = [f"{name!r} ({count:,})" for name, count in keys.items()]
        more = f" and {len(named) - SHOWN:,} more (in {out / 'manifest.json'})" if len(named) > SHOWN else ""
        console.print(f"Not read: unknown keys {', '.join(named[:SHOWN])}{more}.", markup=False, highlight=False)
    rows = sum(manifest["published_rows"].values())
    examples = sum(sum(parts.values()) for parts in manifest["counts"].values())
    typer.echo(f"{rows:,} rows imported as {examples:,} examples.")
    typer.echo(f"Dataset written to {out}.")
