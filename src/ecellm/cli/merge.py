"""`ecellm merge`: an adapter and its base become one model, in a folder or in a GGUF file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ecellm.cli.options import refuse_ignored
from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from ecellm.inference.agreement import Agreement
    from ecellm.types import Question

#: Answers that are compared unless told otherwise.
COMPARED = 20

Precision = Annotated[
    Literal["f32", "f16", "bf16", "q8_0"] | None,
    typer.Option(help="Of the weights in the GGUF file; f16 unless given."),
]
Check = Annotated[
    Path | None,
    typer.Option(help="Compare answers to test questions of this DATASET; without it, to built-in ones."),
]
Limit = Annotated[
    int | None,
    typer.Option(min=0, help="Compare at most so many answers (20), spread evenly over tasks; 0 for none."),
]


def merge(
    model: Annotated[Path, typer.Argument(help="The MODEL folder of an adapter; with --gguf, of any causal model.")],
    out: Annotated[Path, typer.Option(help="The MODEL folder to write; with --gguf, the folder of the GGUF file.")],
    gguf: Annotated[
        bool,
        typer.Option("--gguf", help="Write a GGUF file, for llama.cpp, with an Ollama Modelfile beside it."),
    ] = False,
    precision: Precision = None,
    check: Check = None,
    limit: Limit = None,
) -> None:
    """Merge an adapter into its base: a folder that transformers and vLLM load as it is, or a GGUF file.

    The adapter and the merged model answer the same questions; the number of equal answers is printed.
    """
    from ecellm.inference.agreement import agreement
    from ecellm.io.files import refuse_existing
    from ecellm.io.progress import QuestionProgress
    from ecellm.models.folder import read_info
    from ecellm.models.replies import replies_to
    from ecellm.models.transformers.generator import TransformersGenerator
    from ecellm.models.transformers.merging import export_gguf
    from ecellm.models.transformers.merging import merge as run

    refuse_existing(out)
    if gguf:
        refuse_ignored("compares answers, which --gguf does not", {"--check": check, "--limit": limit})
        export_gguf(model, out, precision or "f16")
        typer.echo(f"GGUF file and Modelfile written to {out}.")
        return
    refuse_ignored("is of a GGUF file, and --gguf is not given", {"--precision": precision})
    if limit == 0:
        refuse_ignored("names questions, and --limit 0 asks none", {"--check": check})
    most = COMPARED if limit is None else limit
    rows = _questions(list(read_info(model).rows) or None, check, most)
    with QuestionProgress() as progress:
        merged = run(
            model, out, lambda *loaded: replies_to(TransformersGenerator(*loaded), rows, progress) if rows else []
        )
    typer.echo(f"Merged model written to {out}; its logits differ by at most {merged.apart:.1e} of the largest.")
    if rows:
        _say(agreement(rows, merged.before, merged.after), "built-in" if check is None else str(check))
    elif most:
        typer.echo(
            "No answers were compared, for no question of this model's tasks is built in: give --check DATASET."
        )


def _questions(tasks: list[str] | None, dataset: Path | None, limit: int) -> "list[Question]":
    """Return what to ask; raises ConfigError where the dataset has nothing to ask of the model's tasks."""
    from ecellm.data.dataset import read_dataset, spread
    from ecellm.inference.row_questions import example_questions
    from ecellm.types import DIVERSE

    if dataset is None:
        return example_questions(tasks)[:limit]
    read = read_dataset(dataset)
    rows = spread(read.view(f"IND_{DIVERSE}", "test", tasks), limit, read.seed)
    if limit and not rows:
        raise ConfigError(f"{dataset} has no test rows of the model's tasks: name another dataset for --check.")
    return rows


def _say(found: "Agreement", questions: str) -> None:
    line = (
        f"Answers of the adapter and the merged model: {found.equal} of {found.questions.total()} equal ({questions})"
    )
    if not found.different:
        typer.echo(f"{line}.")
        return
    where = ", ".join(f"{task} {count} of {found.questions[task]}" for task, count in sorted(found.different.items()))
    typer.echo(f"{line}; different: {where}.")
    typer.echo(
        f"Warning: the merged model does not answer as the adapter did ({found.near_ties} of the differences are "
        "near-ties, which rounding decides): score both with `ecellm evaluate` before you rely on it.",
        err=True,
    )
