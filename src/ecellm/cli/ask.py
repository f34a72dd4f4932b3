"""`ecellm ask`: answer one task's question for every row of a table, or a single question."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ecellm.cli.options import (
    Address,
    Calibration,
    Concurrency,
    Layout,
    MaxCost,
    MaxNewTokens,
    Named,
    Overwrite,
    Precision,
    PriceIn,
    PriceOut,
    Retries,
    Timeout,
    server_and_budget,
)
from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from ecellm.inference.table_output import TableOptions
    from ecellm.models.base import Decoding
    from ecellm.models.remote.client import Server
    from ecellm.models.remote.cost import Budget
    from ecellm.tasks import Task

Source = Annotated[Path | None, typer.Option("--input", help="A table of questions: .csv, .tsv, .jsonl or .parquet.")]
Out = Annotated[Path | None, typer.Option(help="The table with the answers, of the same format.")]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", help="Instead of a table: one column of one question, name=value; again for a list."),
]
Fields = Annotated[
    str | None,
    typer.Option(help="Of PM: all fields that a record shows, such as title,brand,modelno,price, as in tuning."),
]
Abstain = Annotated[
    float | None, typer.Option(min=0, max=1, help="Leave answers below this probability empty, for a human.")
]
Prefix = Annotated[str, typer.Option(help="Before the names of the new columns, such as pm_.")]
AllScores = Annotated[bool, typer.Option("--scores", help="Write every candidate's probability, too.")]
SkipFailed = Annotated[
    bool, typer.Option("--skip-failed", help="Write OUT although some rows got no answer: these are rejected.")
]


def ask(
    task: Annotated[str, typer.Argument(help="The task, such as PM.")],
    model: Named,
    source: Source = None,
    out: Out = None,
    values: Values = None,
    fields: Fields = None,
    abstain: Abstain = None,
    prefix: Prefix = "",
    scores: AllScores = False,
    skip_failed: SkipFailed = False,
    overwrite: Overwrite = False,
    template: Layout = None,
    calibration: Calibration = None,
    max_new_tokens: MaxNewTokens = 100,
    precision: Precision = "fp32",
    server: Address = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    retries: Retries = 6,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
) -> None:
    """Answer a task's question for every row of a table; an interrupted run is resumed."""
    from ecellm.inference.table_output import TableOptions
    from ecellm.models.base import Decoding

    chosen = _task(task, fields)
    if values and (source or out):
        raise ConfigError("Give --set for one question, or --input and --out for a table, not both.")
    reached, budget = server_and_budget(model, server, concurrency, timeout, retries, price_in, price_out, max_cost)
    how = Decoding(max_new_tokens=max_new_tokens, precision=precision)
    named = _Model(model, how, template, reached, calibration)
    if values:
        _one(chosen, named, values, abstain)
    elif source is not None and out is not None:
        _table(chosen, named, source, out, TableOptions(prefix, abstain, scores, skip_failed), overwrite, budget)
    else:
        from ecellm.inference.row_questions import needs

        raise ConfigError(
            f"Give --input and --out for a table, or --set for one question; {chosen.name} takes {needs(chosen)}."
        )


def _task(name: str, fields: str | None) -> "Task":
    """Return the task, with fields of the user's own where they are named."""
    from ecellm.tasks import chosen_tasks

    (chosen, *others) = chosen_tasks(name)
    if others:
        raise ConfigError(f"Name one task, not {name}.")
    return chosen if fields is None else chosen.with_fields([field.strip() for field in fields.split(",")])


class _Model(NamedTuple):
    """The arguments of `load_generator`."""

    name: str
    decoding: "Decoding"
    template: str | None
    server: "Server"
    calibration: Path | None


def _one(task: "Task", model: _Model, values: list[str], abstain: float | None) -> None:
    import json

    from ecellm.inference.model import Model
    from ecellm.inference.row_questions import given_in, needs
    from ecellm.models.load import load_generator

    row: dict[str, str | list[str]] = {}
    known = {column.name: column.many for column in task.form.columns}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or name not in known:
            raise ConfigError(f"--set takes name=value with a name of {needs(task)}, not {value!r}.")
        before = row.get(name)
        if before is not None and not known[name]:
            raise ConfigError(f"--set gives {name} twice.")
        row[name] = text if before is None else [*([before] if isinstance(before, str) else before), text]
    given_in(task, row)
    answer = Model(load_generator(*model)).ask(task.name, [row], task.form.fields)[0]
    text = answer.answer if isinstance(answer.answer, str) else json.dumps(answer.answer, ensure_ascii=False)
    if answer.answer is None:
        typer.echo(f"the completion cannot be parsed: {answer.text}")
    elif abstain is not None and (answer.probability is None or answer.probability < abstain):
        typer.echo(f"abstained; the likeliest answer is {text}")
    else:
        typer.echo(text)
    if answer.probability is not None:
        typer.echo(f"probability {answer.probability:.3f}")


def _table(
    task: "Task", model: _Model, source: Path, out: Path, options: "TableOptions", overwrite: bool, budget: "Budget"
) -> None:
    from ecellm.inference.ask import ask as run
    from ecellm.inference.run import failed_file
    from ecellm.inference.table_checks import checked_table
    from ecellm.inference.table_output import rejects_file
    from ecellm.io.progress import QuestionProgress
    from ecellm.models.load import OPENAI, identity, load_generator
    from ecellm.models.remote.openai_compatible import OpenAIGenerator

    table = checked_table(task, source, out, options, overwrite)
    whose = identity(*model)
    generator = load_generator(*model)
    before = budget.plan(model.decoding, typer.echo) if model.name.startswith(OPENAI) else None
    with QuestionProgress() as progress:
        counts = run(generator, task, table, source, out, whose, options, progress, before, budget.spend)
    if counts.run.usage is not None:
        typer.echo(f"The server counted {budget.prices.summary(counts.run.usage)}.")
    for remark in generator.remarks() if isinstance(generator, OpenAIGenerator) else ():
        typer.echo(remark)
    if counts.run.failed:
        reason, count = counts.run.failed.most_common(1)[0]
        raise ConfigError(
            f"{counts.run.failed.total():,} rows got no answer (of these {count:,}: {reason}); {failed_file(out)} "
            "names them. Run the command again to ask only them, with --skip-failed to write the others' answers."
        )
    summary = (
        f"{counts.answered:,} of {counts.run.questions:,} rows answered ({counts.run.skipped:,} before this run)"
    )
    summary += f", {counts.abstained:,} abstained" if options.abstain is not None else ""
    summary += f", {counts.unparsed:,} unparsed" if counts.unparsed else ""
    summary += f", {counts.near_ties:,} near-ties" if counts.near_ties else ""
    typer.echo(summary + f". Written to {out}.")
    if counts.rejected:
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in counts.rejected.most_common(3))
        typer.echo(f"{counts.rejected.total():,} rows rejected, listed in {rejects_file(out)} ({reasons})")
