"""`ecellm ask`: answer one task's question for every row of a table, or a single question."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

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
from ecellm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ecellm.inference.table_output import TableCounts, TableOptions
    from ecellm.models.base import Decoding, Generator
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
Text = Annotated[bool, typer.Option("--text", help="Write the model's completion, too, as the column completion.")]
Parse = Annotated[
    Literal["strict", "lenient"],
    typer.Option(help="Of a server's answers: lenient takes them out of code fences and from behind thinking."),
]
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
    text: Text = False,
    parse: Parse = "strict",
    skip_failed: SkipFailed = False,
    overwrite: Overwrite = False,
    template: Layout = None,
    calibration: Calibration = None,
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
    """Answer a task's question for every row of a table; an interrupted run is resumed."""
    from ecellm.inference.table_output import TableOptions
    from ecellm.models.base import Decoding

    chosen = _task(task, fields)
    of_tables: dict[str, object] = {
        "--input": source,
        "--out": out,
        "--prefix": prefix or None,
        "--scores": scores,
        "--text": text,
    }
    of_tables |= {"--skip-failed": skip_failed, "--overwrite": overwrite}
    of_tables |= {"--price-in": price_in, "--price-out": price_out, "--max-cost": max_cost}
    _check_which(chosen, values, of_tables)
    reached, budget = server_and_budget(model, server, concurrency, timeout, retries, price_in, price_out, max_cost)
    how = Decoding(max_new_tokens=max_new_tokens, precision=precision, lenient=parse == "lenient")
    named = _Model(model, how, template, reached, calibration)
    if source is not None and out is not None:
        options = TableOptions(prefix, abstain, scores, skip_failed, text)
        _table(chosen, named, source, out, options, overwrite, budget)
    else:
        _one(chosen, named, values or [], abstain)


def _check_which(task: "Task", values: list[str] | None, of_tables: Mapping[str, object]) -> None:
    """Raise ConfigError unless either a table or one question is given, and no option of tables with a question."""
    from ecellm.inference.row_questions import needs

    given = [name for name, value in of_tables.items() if value is not None and value is not False]
    if values and given:
        raise ConfigError(f"{given[0]} is for a table, and --set for one question: leave one of them out.")
    if not values and not {"--input", "--out"} <= set(given):
        raise ConfigError(
            f"Give --input and --out for a table, or --set for one question; {task.name} takes {needs(task)}."
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
    from ecellm.inference.table_checks import check_abstain
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
    check_abstain(task, abstain)
    generator = load_generator(*model)
    answer = Model(generator).ask(task.name, [row], task.form.fields)[0]
    text = answer.answer if isinstance(answer.answer, str) else json.dumps(answer.answer, ensure_ascii=False)
    if answer.answer is None:
        typer.echo(f"the completion cannot be parsed: {answer.text}")
    elif abstain is not None and (answer.probability is None or answer.probability < abstain):
        typer.echo(f"abstained; the likeliest answer is {text}")
    else:
        typer.echo(text)
    if answer.probability is not None:
        typer.echo(f"probability {answer.probability:.3f}")
    _say_remarks(generator)


def _say_remarks(generator: "Generator") -> None:
    from ecellm.models.base import ServedGenerator

    for remark in generator.remarks() if isinstance(generator, ServedGenerator) else ():
        typer.echo(remark)


def _table(
    task: "Task", model: _Model, source: Path, out: Path, options: "TableOptions", overwrite: bool, budget: "Budget"
) -> None:
    from ecellm.inference.ask import ask as run
    from ecellm.inference.run import failed_file
    from ecellm.inference.table_checks import checked_table
    from ecellm.io.progress import QuestionProgress
    from ecellm.models.load import OPENAI, load_identified

    table = checked_table(task, source, out, options, overwrite)
    generator, whose = load_identified(*model)
    before = budget.plan(model.decoding, typer.echo) if model.name.startswith(OPENAI) else None
    with QuestionProgress() as progress:
        counts = run(generator, task, table, source, out, whose, options, progress, before, budget.spend)
    if counts.run.usage is not None:
        typer.echo(f"The server counted {budget.prices.summary(counts.run.usage)}.")
    _say_remarks(generator)
    if counts.run.failed:
        reason, count = counts.run.failed.most_common(1)[0]
        raise ConfigError(
            f"{counts.run.failed.total():,} rows got no answer (of these {count:,}: {reason}); {failed_file(out)} "
            "names them. Run the command again to ask only them, with --skip-failed to write the others' answers."
        )
    _say(counts, options, out)


def _say(counts: "TableCounts", options: "TableOptions", out: Path) -> None:
    """Print what was answered and rejected; raises DataError where no row was answered."""
    from ecellm.inference.table_output import rejects_file, unparsed_file

    reasons = "; ".join(f"{count:,}: {reason}" for reason, count in counts.rejected.most_common(3))
    if not counts.answered:
        raise DataError(
            f"None of the {counts.run.questions:,} rows was answered, so {out} was not written; {rejects_file(out)} "
            f"lists them with the reasons ({reasons.rstrip('.')})."
        )
    summary = (
        f"{counts.answered:,} of {counts.run.questions:,} rows answered ({counts.run.skipped:,} before this run)"
    )
    summary += f", {counts.abstained:,} abstained" if options.abstain is not None else ""
    summary += f", {counts.unparsed:,} of them unparsed (see {unparsed_file(out)})" if counts.unparsed else ""
    summary += f", {counts.near_ties:,} near-ties" if counts.near_ties else ""
    typer.echo(summary + f". Written to {out}.")
    if counts.rejected:
        typer.echo(f"{counts.rejected.total():,} rows rejected, listed in {rejects_file(out)} ({reasons})")
