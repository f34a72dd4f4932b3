"""`ecellm predict`: ask a model the test questions of a dataset."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from ecellm.cli.options import (
    Address,
    Calibration,
    Concurrency,
    Layout,
    MaxCost,
    MostTokens,
    Named,
    Precision,
    PriceIn,
    PriceOut,
    Retries,
    Timeout,
    check_server_options,
)


def predict(
    model: Named,
    data: Annotated[Path, typer.Option(help="The DATASET folder.")],
    out: Annotated[Path, typer.Option(help="The file of answers, one JSON object a line; it is appended to.")],
    setting: Annotated[
        str | None, typer.Option(help="Only this setting; without it, all that the dataset has.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many questions in all, spread evenly over tasks.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="Only the I-th of N parts, such as 1/4; `ecellm join` joins their answers.")
    ] = None,
    template: Layout = None,
    calibration: Calibration = None,
    decoding: Annotated[
        Literal["closed", "free"],
        typer.Option(help="Whether closed questions choose among their answers or are written, as in the paper."),
    ] = "closed",
    temperature: Annotated[float, typer.Option(min=0.0, help="Of written answers; 0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="The share of likely tokens to sample from.")] = 1.0,
    sampling_seed: Annotated[int, typer.Option(min=0, help="Of sampled answers.")] = 0,
    most_tokens: MostTokens = 100,
    precision: Precision = "fp32",
    server: Address = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    retries: Retries = 6,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
) -> None:
    """Ask a model the test questions of a dataset; a run that was interrupted goes on where it stopped."""
    from ecellm.dataset.dataset import read_dataset
    from ecellm.inference.asking import Asking
    from ecellm.inference.cost import Budget, Prices
    from ecellm.inference.generator import Decoding
    from ecellm.inference.load import OPENAI, identity, load_generator, tasks_of
    from ecellm.inference.openai_ import OpenAIGenerator, Server
    from ecellm.inference.predict import failed_file, questions
    from ecellm.inference.predict import predict as run
    from ecellm.inference.predict import shard as part
    from ecellm.tasks import chosen_tasks

    if top_p == 0 or (top_p < 1 and not temperature):
        raise ValueError("--top-p lies above 0, and below 1 it needs a --temperature above 0.")
    check_server_options(model, server, price_in, price_out, max_cost)
    budget = Budget(Prices(price_in, price_out), max_cost)
    chosen = [task.name for task in chosen_tasks(tasks)] if tasks is not None else tasks_of(model)
    dataset = read_dataset(data)
    asked = questions(dataset, None if setting is None else [setting], chosen, limit)
    if shard is not None:
        asked = part(asked, *_part(shard))
    how = Decoding(decoding == "free", temperature, top_p, sampling_seed, most_tokens, precision)
    reached = Server(server, concurrency, timeout, retries)
    whose = {**identity(model, how, template, reached, calibration), "dataset": dataset.hash()}
    generator = load_generator(model, how, template, reached, calibration)
    before = budget.plan(how, typer.echo) if model.startswith(OPENAI) else None
    with Asking() as progress:
        counts = run(generator, asked, out, whose, progress, before, budget.spend, budget.prices.cost)
    typer.echo(
        f"{counts.answered:,} answered, {counts.skipped:,} skipped (answered before), "
        f"{counts.unparsed:,} unparsed, {counts.cut_prompts:,} cut prompts."
    )
    if counts.cut:
        said = ", ".join(f"{what} {count:,}" for what, count in sorted(counts.cut.items()))
        typer.echo(f"Cut from prompts: {said}.")
    if counts.usage is not None:
        typer.echo(f"The server counted {budget.prices.told(counts.usage)}.")
    for remark in generator.remarks() if isinstance(generator, OpenAIGenerator) else ():
        typer.echo(remark)
    typer.echo(f"Answers written to {out}.")
    if counts.failed:
        raise ValueError(
            f"{counts.failed:,} questions got no answer; {failed_file(out)} says why. Run the command again to ask "
            "them."
        )


def _part(shard: str) -> tuple[int, int]:
    """Return number and count of a shard such as 2/4; raises ValueError for another form."""
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise ValueError(f"{shard!r} is no shard: write one as 1/4, 2/4 and so on.")
    return number, of
