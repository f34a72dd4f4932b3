"""Options that several verbs share: how a base or a server's model is asked, and what it may cost."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Named = Annotated[
    str,
    typer.Argument(
        help="A MODEL folder; a base, as a folder, a .gguf file, smollm2-135m or OWNER/NAME at the hub; vllm: and "
        "one of these; or openai:NAME, a model of a server.",
        metavar="MODEL",
    ),
]
Layout = Annotated[
    str | None, typer.Option(help="How a base or a server's model is asked: a layout's name or a JSON file of one.")
]
Address = Annotated[
    str | None, typer.Option(help="A server's address; without it OPENAI_BASE_URL's. The key: OPENAI_API_KEY's.")
]
Concurrency = Annotated[int, typer.Option(min=1, help="A server's questions under way at a time.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that a server's answer may take.")]
Retries = Annotated[int, typer.Option(min=0, help="How often a server is asked again after a fault.")]
PriceIn = Annotated[float | None, typer.Option(min=0.0, help="A server's price of a million tokens read.")]
PriceOut = Annotated[float | None, typer.Option(min=0.0, help="A server's price of a million tokens written.")]
MaxCost = Annotated[float | None, typer.Option(min=0.0, help="What the run may cost at most.")]
Precision = Annotated[
    Literal["fp32", "bf16", "int8"],
    typer.Option(help="Of the linear layers of XS or a causal model on a CPU: bf16 and int8 are faster, less exact."),
]
MostTokens = Annotated[int, typer.Option(min=1, help="A written answer's length at most.")]
Calibration = Annotated[
    Path | None,
    typer.Option("--calibration", help="What `ecellm calibrate --out` fitted for a base or a server's model."),
]


def check_server_options(model: str, *given: str | float | None) -> None:
    """Raise ValueError where a server's options are given for another model."""
    from ecellm.inference.load import OPENAI

    if not model.startswith(OPENAI) and any(value is not None for value in given):
        raise ValueError(f"--server, prices and --max-cost are for models of a server: name one as {OPENAI}NAME.")
