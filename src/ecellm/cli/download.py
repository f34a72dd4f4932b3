"""`ecellm download`: the public sources and the published ECInstruct."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecellm.cli.options import refuse_ignored
from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from ecellm.data.download import Progress
    from ecellm.data.readers.addresses import Address


def download(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Such as esci amazon_google; without one, all are listed.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="The folder to download into; `ecellm build --sources` reads it.")
    ] = None,
    categories: Annotated[
        str | None, typer.Option(help="Of Amazon Review: such as All_Beauty,Gift_Cards; without it, the paper's.")
    ] = None,
) -> None:
    """Download public sources, or list them with licence and size. An interrupted download is resumed."""
    from rich.console import Console

    from ecellm.data.download import download as run
    from ecellm.data.readers.addresses import read_addresses

    known = read_addresses()
    console = Console(stderr=True)
    if not sources:
        refuse_ignored("is of a source, and none is named", {"--to": to, "--categories": categories})
        _list(known)
        return
    unknown = [name for name in sources if name not in known]
    if unknown:
        raise ConfigError(f"There is no source {unknown[0]!r}: choose from {', '.join(known)}.")
    if not any(known[name].categories for name in sources):
        refuse_ignored(f"is of Amazon Review, and {', '.join(sources)} has none", {"--categories": categories})
    if to is None:
        raise ConfigError("Name the folder to download to with --to DIR.")
    by_hand = [name for name in sources if known[name].by_hand]
    if by_hand:
        address = known[by_hand[0]]
        raise ConfigError(f"{by_hand[0]} cannot be downloaded: {address.by_hand}. See {address.page}.")
    chosen = [name.strip() for name in categories.split(",") if name.strip()] if categories else []
    for name in sources:
        address = known[name]
        console.print(f"{name}: {address.title}. Licence: {address.licence}.", soft_wrap=True, highlight=False)
        with _bars(console) as show:
            found = run(address.chosen(chosen if address.categories else []), to, show)
        typer.echo(f"{name}: {len(found)} files, {sum(file.bytes for file in found):,} bytes in {to}.")


def _list(known: "dict[str, Address]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "what", "size", "licence", "page")
    for name, address in known.items():
        table.add_row(name, address.title, address.size, address.licence, address.page)
    Console().print(table)


@contextmanager
def _bars(console: "Console") -> Iterator["Progress"]:
    """Yield a function that shows the progress of each file."""
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(path: str, have: int, total: int | None) -> None:
            if path not in tasks:
                tasks[path] = bars.add_task(Path(path).name, total=total)
            bars.update(tasks[path], completed=have, total=total)

        yield show
