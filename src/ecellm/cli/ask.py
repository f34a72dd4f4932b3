"""`ecellm ask`: ask a model one task's question of every row of a table, or once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

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

if TYPE_CHECKING:
    from ecellm.inference.ask import Wanted
    from ecellm.inference.cost import Budget
    from ecellm.inference.generator import Decoding
    from ecellm.inference.openai_ import Server
    from ecellm.tasks import Task


def ask(
    task: Annotated[str, typer.Argument(help="The task, such as PM.")],
    model: Named,
    source: Annotated[
        Path | None, typer.Option("--input", help="A table of questions: .csv, .tsv, .jsonl or .parquet.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The table with the answers, of the same format.")] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Instead of a table: one column of one question, name=value; again for a list."),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(help="Of PM: all fields that a record shows, such as title,brand,modelno,price, as in tuning."),
    ] = None,
    abstain: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave answers below this probability empty, for a human.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Before the names of the new columns, such as pm_.")] = "",
    scores: Annotated[bool, typer.Option("--scores", help="Write every candidate's probability, too.")] = False,
    without_failed: Annotated[
        bool,
        typer.Option("--without-failed", help="Write OUT although some rows got no answer: these are set aside."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it is there.")] = False,
    template: Layout = None,
    calibration: Calibration = None,
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
    """Ask a model a task's question of every row of a table; a run that was interrupted goes on where it stopped."""
    from ecellm.inference.ask import Wanted
    from ecellm.inference.cost import Budget, Prices
    from ecellm.inference.generator import Decoding
    from ecellm.inference.openai_ import Server
    from ecellm.tasks import chosen_tasks

    (chosen, *others) = chosen_tasks(task)
    if others:
        raise ValueError(f"One task is asked at a time, not {task}.")
    if fields is not None:
        chosen = chosen.with_fields([name.strip() for name in fields.split(",")])
    if values and (source or out):
        raise ValueError("Give --set for one question, or --input and --out for a table, not both.")
    check_server_options(model, server, price_in, price_out, max_cost)
    how = Decoding(most_tokens=most_tokens, precision=precision)
    reached = Server(server, concurrency, timeout, retries)
    named = _Model(model, how, template, reached, calibration)
    if values:
        _one(chosen, named, values, abstain)
    elif source is not None and out is not None:
        budget = Budget(Prices(price_in, price_out), max_cost)
        _table(chosen, named, source, out, Wanted(prefix, abstain, scores, without_failed), overwrite, budget)
    else:
        from ecellm.inference.own_rows import needs

        raise ValueError(
            f"Give --input and --out for a table, or --set for one question; {chosen.name} takes {needs(chosen)}."
        )


class _Model(NamedTuple):
    """A model's name, and how it is asked: what `load_generator` takes."""

    name: str
    decoding: "Decoding"
    template: str | None
    server: "Server"
    calibration: Path | None


def _one(task: "Task", model: _Model, values: list[str], abstain: float | None) -> None:
    import json

    from ecellm.inference.load import load_generator
    from ecellm.inference.model import Model, NoAnswerError
    from ecellm.inference.own_rows import given_in, needs

    row: dict[str, str | list[str]] = {}
    known = {column.name: column.many for column in task.form.columns}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or name not in known:
            raise ValueError(f"--set takes name=value with a name of {needs(task)}, not {value!r}.")
        before = row.get(name)
        if before is not None and not known[name]:
            raise ValueError(f"--set gives {name} twice.")
        row[name] = text if before is None else [*([before] if isinstance(before, str) else before), text]
    given_in(task, row)
    try:
        answer = Model(load_generator(*model)).ask(task.name, [row], task.form.fields)[0]
    except NoAnswerError as error:
        raise ValueError(str(error)) from error
    said = answer.answer if isinstance(answer.answer, str) else json.dumps(answer.answer, ensure_ascii=False)
    if answer.answer is None:
        typer.echo(f"no answer; the model said: {answer.text}")
    elif abstain is not None and (answer.probability is None or answer.probability < abstain):
        typer.echo(f"abstained; the likeliest answer is {said}")
    else:
        typer.echo(said)
    if answer.probability is not None:
        typer.echo(f"probability {answer.probability:.3f}")


def _table(
    task: "Task", model: _Model, source: Path, out: Path, wanted: "Wanted", overwrite: bool, budget: "Budget"
) -> None:
    from ecellm.inference.ask import ask as run
    from ecellm.inference.ask import check, set_aside_of
    from ecellm.inference.asking import Asking
    from ecellm.inference.load import OPENAI, identity, load_generator
    from ecellm.inference.openai_ import OpenAIGenerator
    from ecellm.inference.predict import failed_file

    table = check(task, source, out, wanted, overwrite)
    whose = identity(*model)
    generator = load_generator(*model)
    before = budget.plan(model.decoding, typer.echo) if model.name.startswith(OPENAI) else None
    with Asking() as progress:
        counts = run(generator, task, table, source, out, whose, wanted, progress, before, budget.spend)
    if counts.usage is not None:
        typer.echo(f"The server counted {budget.prices.told(counts.usage)}.")
    for remark in generator.remarks() if isinstance(generator, OpenAIGenerator) else ():
        typer.echo(remark)
    if counts.failed:
        reason, count = counts.failed.most_common(1)[0]
        raise ValueError(
            f"{sum(counts.failed.values()):,} rows got no answer (of these {count:,}: {reason}); {failed_file(out)} "
            "names them. Run the command again to ask only them, with --without-failed to write the others' answers."
        )
    said = f"{counts.answered:,} of {counts.rows:,} rows answered ({counts.before:,} before this run)"
    said += f", {counts.abstained:,} left to a human" if wanted.abstain is not None else ""
    said += f", {counts.unread:,} unparsed" if counts.unread else ""
    said += f", {counts.near_ties:,} near-ties" if counts.near_ties else ""
    typer.echo(said + f". Written to {out}.")
    if counts.set_aside:
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in counts.set_aside.most_common(3))
        typer.echo(f"{sum(counts.set_aside.values()):,} rows set aside in {set_aside_of(out)} ({reasons})")
