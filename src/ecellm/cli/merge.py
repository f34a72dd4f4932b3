"""`ecellm merge`: an adapter and its base become one model, in a folder or in a GGUF file."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def merge(
    model: Annotated[Path, typer.Argument(help="The MODEL folder of an adapter; with --gguf, of any causal model.")],
    out: Annotated[Path, typer.Option(help="The MODEL folder to write; with --gguf, the folder of the GGUF file.")],
    gguf: Annotated[
        bool,
        typer.Option("--gguf", help="Write a GGUF file, for llama.cpp, with an Ollama Modelfile beside it."),
    ] = False,
    precision: Annotated[
        Literal["f32", "f16", "bf16", "q8_0"], typer.Option(help="Of the weights in the GGUF file.")
    ] = "f16",
) -> None:
    """Merge an adapter into its base: a folder that transformers and vLLM load as it is, or a GGUF file."""
    from ecellm.models.merging import export_gguf
    from ecellm.models.merging import merge as run

    if gguf:
        export_gguf(model, out, precision)
        typer.echo(f"GGUF file and Modelfile written to {out}.")
        return
    apart = run(model, out)
    typer.echo(f"Merged model written to {out}; its logits differ by at most {apart:.1e} of the largest.")
