"""Options that several verbs share: the dataset, changes of a recipe, what a study runs, how a base or a server's
model is prompted, and what it may cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from ecellm.models.remote.client import Server
    from ecellm.models.remote.cost import Budget

Named = Annotated[
    str,
    typer.Argument(
        help="A MODEL folder; a base, as a folder, a .gguf file, smollm2-135m or OWNER/NAME at the hub; vllm: and "
        "one of these; openai:NAME, a model of a server; or, of ecellm ask, the address of an ecellm serve.",
        metavar="MODEL",
    ),
]
Data = Annotated[Path, typer.Option(help="The DATASET folder.")]
Tasks = Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change a recipe key: optimisation.epochs=1.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
Seeds = Annotated[int, typer.Option(min=1, help="Repeat every run with so many seeds.")]
TestRows = Annotated[int | None, typer.Option(min=1, help="Ask at most this many test rows under each setting.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Runs at a time; without it, one on each accelerator, or one.")]
Layout = Annotated[
    str | None,
    typer.Option(help="How a base or a server's model is prompted: a layout's name or a JSON file of one."),
]
Address = Annotated[
    str | None, typer.Option(help="A server's address; without it OPENAI_BASE_URL's. The key: OPENAI_API_KEY's.")
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="A server's questions under way at a time; 8 unless given.")
]
Timeout = Annotated[
    float | None, typer.Option(min=0.1, help="Seconds that a server's answer may take; 60 unless given.")
]
Retries = Annotated[
    int | None, typer.Option(min=0, help="How often a failed request to a server is retried; 6 unless given.")
]
PriceIn = Annotated[float | None, typer.Option(min=0.0, help="A server's price of a million tokens read.")]
PriceOut = Annotated[float | None, typer.Option(min=0.0, help="A server's price of a million tokens written.")]
MaxCost = Annotated[float | None, typer.Option(min=0.0, help="What the run may cost at most.")]
Precision = Annotated[
    Literal["fp32", "bf16", "int8"],
    typer.Option(help="Of the linear layers of XS or a causal model on a CPU: bf16 and int8 are faster, less exact."),
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="The maximum length of a generated answer, in tokens.")]
Calibration = Annotated[
    Path | None,
    typer.Option("--calibration", help="What `ecellm calibrate --out` fitted for a base or a server's model."),
]


def task_names(tasks: str | None) -> list[str] | None:
    """Return the names of the tasks that an option gives; None where it is omitted."""
    from ecellm.tasks import chosen_tasks

    return None if tasks is None else [task.name for task in chosen_tasks(tasks)]


def refuse_ignored(why: str, options: Mapping[str, object]) -> None:
    """Raise ConfigError where one of these options, by name, is given, although it would mean nothing; `why` goes on
    after its name."""
    given = [name for name, value in options.items() if value is not None and value is not False]
    if given:
        raise ConfigError(f"{given[0]} {why}: leave it out.")


def server_and_budget(
    model: str,
    address: str | None,
    concurrency: int | None,
    timeout: float | None,
    retries: int | None,
    price_in: float | None,
    price_out: float | None,
    max_cost: float | None,
) -> "tuple[Server, Budget]":
    """Return how a server is reached and what it may cost; raises ConfigError where these options are given for a
    model that is not a server's, or one price without the other."""
    from ecellm.models.load import OPENAI, engine_of
    from ecellm.models.remote.client import Server
    from ecellm.models.remote.cost import Budget, Prices

    reached = {"--concurrency": concurrency, "--timeout": timeout, "--retries": retries}
    costs = {"--price-in": price_in, "--price-out": price_out, "--max-cost": max_cost}
    engine, _ = engine_of(model)
    if engine is not None and engine.of_rows:
        why = f"is for models of a server, which are named {OPENAI}NAME, and {model} is a service of ecellm's own"
        refuse_ignored(why, {"--server": address, **costs})
    elif not model.startswith(OPENAI):
        why = f"is for models of a server, which are named {OPENAI}NAME, and {model} is none"
        refuse_ignored(why, {"--server": address, **reached, **costs})
    if max_cost is None and (price_in is None) != (price_out is None):
        raise ConfigError("A cost needs both prices: give --price-in and --price-out, or neither.")
    server = Server(
        address,
        concurrency or Server.concurrency,
        timeout or Server.timeout,
        Server.retries if retries is None else retries,
    )
    return server, Budget(Prices(price_in, price_out), max_cost)
