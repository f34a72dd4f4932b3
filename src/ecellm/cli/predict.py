"""`ecellm predict`: answer the test questions of a dataset."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ecellm.cli.options import (
    Address,
    Calibration,
    Concurrency,
    Data,
    Layout,
    MaxCost,
    MaxNewTokens,
    Named,
    Precision,
    PriceIn,
    PriceOut,
    Retries,
    Tasks,
    Timeout,
    refuse_ignored,
    server_and_budget,
    task_names,
)
from ecellm.errors import ConfigError, ServerError

if TYPE_CHECKING:
    from ecellm.data.dataset import Dataset
    from ecellm.inference.run import RunCounts
    from ecellm.models.base import Generator
    from ecellm.models.remote.cost import Prices
    from ecellm.types import Question

Out = Annotated[Path, typer.Option(help="The file of answers, one JSON object a line; it is appended to.")]
Setting = Annotated[str | None, typer.Option(help="Only this setting; without it, all that the dataset has.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most this many questions in all, spread evenly over tasks.")
]
Shard = Annotated[
    str | None, typer.Option(help="Only the I-th of N parts, such as 1/4; `ecellm join` joins their answers.")
]
Way = Annotated[
    Literal["closed", "free"],
    typer.Option(
        help="Multiple-choice questions: closed scores the candidates, free generates text, as in the paper."
    ),
]
Temperature = Annotated[float, typer.Option(min=0.0, help="Of generated text; 0 is greedy.")]
TopP = Annotated[float, typer.Option(min=0.0, max=1.0, help="The share of likely tokens to sample from.")]
SamplingSeed = Annotated[int | None, typer.Option(min=0, help="The seed of sampled answers; 0 unless given.")]


def predict(
    model: Named,
    data: Data,
    out: Out,
    setting: Setting = None,
    tasks: Tasks = None,
    limit: Limit = None,
    shard: Shard = None,
    template: Layout = None,
    calibration: Calibration = None,
    decoding: Way = "closed",
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    sampling_seed: SamplingSeed = None,
    max_new_tokens: MaxNewTokens = 100,
    precision: Precision = "fp32",
    server: Address = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    retries: Retries = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
) -> None:
    """Answer the test questions of a dataset; an interrupted run is resumed."""
    from ecellm.data.dataset import read_dataset
    from ecellm.inference.predict import SHARD
    from ecellm.inference.predict import predict as run
    from ecellm.io.progress import QuestionProgress
    from ecellm.models.base import Decoding
    from ecellm.models.load import OPENAI, check_predicts, identity, load_generator

    check_predicts(model)
    if top_p == 0 or (top_p < 1 and not temperature):
        raise ConfigError("--top-p lies above 0, and below 1 it needs a --temperature above 0.")
    if not temperature:
        refuse_ignored("needs a --temperature above 0", {"--sampling-seed": sampling_seed})
    reached, budget = server_and_budget(model, server, concurrency, timeout, retries, price_in, price_out, max_cost)
    dataset = read_dataset(data)
    chosen = _questions(dataset, model, setting, tasks, limit, shard)
    how = Decoding(decoding == "free", temperature, top_p, sampling_seed or 0, max_new_tokens, precision)
    whose = {**identity(model, how, template, reached, calibration), "dataset": dataset.hash()}
    whose |= {} if shard is None else {SHARD: shard}
    generator = load_generator(model, how, template, reached, calibration)
    before = budget.plan(how, typer.echo) if model.startswith(OPENAI) else None
    with QuestionProgress() as progress:
        counts = run(generator, chosen, out, whose, progress, before, budget.spend, budget.prices.cost)
    _print(counts, budget.prices, generator, out)


def _questions(
    dataset: "Dataset", model: str, setting: str | None, tasks: str | None, limit: int | None, shard: str | None
) -> "dict[str, list[Question]]":
    """Return the questions that the options choose."""
    from ecellm.inference.selection import questions
    from ecellm.inference.selection import shard as part
    from ecellm.models.load import tasks_of

    named = task_names(tasks) or tasks_of(model)
    found = questions(dataset, None if setting is None else [setting], named, limit)
    return found if shard is None else part(found, *_part(shard))


def _print(counts: "RunCounts", prices: "Prices", generator: "Generator", out: Path) -> None:
    """Print what the run did; raises ServerError where questions got no answer."""
    from ecellm.inference.run import failed_file
    from ecellm.models.base import ServedGenerator

    typer.echo(
        f"{counts.answered:,} answered, {counts.skipped:,} skipped (answered before), "
        f"{counts.unparsed:,} unparsed, {counts.truncated_prompts:,} truncated prompts."
    )
    if counts.truncated:
        parts = ", ".join(f"{what} {count:,}" for what, count in sorted(counts.truncated.items()))
        typer.echo(f"Truncated: {parts}.")
    if counts.usage is not None:
        typer.echo(f"The server counted {prices.summary(counts.usage)}.")
    for remark in generator.remarks() if isinstance(generator, ServedGenerator) else ():
        typer.echo(remark)
    typer.echo(f"Answers written to {out}.")
    if counts.failed:
        raise ServerError(
            f"{counts.failed.total():,} questions got no answer; {failed_file(out)} says why. Run the command "
            "again to ask them."
        )


def _part(shard: str) -> tuple[int, int]:
    """Return number and count of a shard such as 2/4; raises ConfigError for another form."""
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", shard)
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise ConfigError(f"{shard!r} is no shard: write one as 1/4, 2/4 and so on.")
    return number, of
