"""`ecellm calibrate`: fit a model's temperatures and decision thresholds on a dataset's validation rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecellm.cli.options import (
    Address,
    Concurrency,
    Layout,
    MaxCost,
    Named,
    PriceIn,
    PriceOut,
    Retries,
    Timeout,
    check_server_options,
)

if TYPE_CHECKING:
    from ecellm.inference.policy import Fitted


def calibrate(
    model: Named,
    data: Annotated[Path, typer.Option(help="The DATASET folder.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, such as PM,SA.")] = None,
    thresholds: Annotated[
        bool,
        typer.Option(
            "--thresholds/--no-thresholds", help="Whether decision thresholds are fitted, too; they change answers."
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write for a base or a server's model, for --calibration of predict and ask."),
    ] = None,
    template: Layout = None,
    server: Address = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    retries: Retries = 6,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
) -> None:
    """Fit temperatures, which make probabilities mean what they say, and decision thresholds, task by task.

    They are saved with a MODEL folder; what is fitted for a base or a server's model is written to OUT.
    """
    from ecellm.dataset.dataset import read_dataset
    from ecellm.files import naming, refuse_existing
    from ecellm.inference.asking import Asking
    from ecellm.inference.calibration_file import CalibrationFile, write_calibration
    from ecellm.inference.cost import Budget, Prices
    from ecellm.inference.generator import Decoding, Usage
    from ecellm.inference.load import OPENAI, identity, is_tuned, load_generator, tasks_of
    from ecellm.inference.openai_ import Server
    from ecellm.inference.policy import fit_policy, refit
    from ecellm.records import DIVERSE
    from ecellm.tasks import chosen_tasks

    check_server_options(model, server, price_in, price_out, max_cost)
    if is_tuned(model) and (out or template):
        raise ValueError(
            f"What is fitted is saved with {model}, prompted as it was tuned: leave --out and --template out."
        )
    if not is_tuned(model) and out is None:
        raise ValueError(
            f"{model} is not a finished model: it has no ecellm.json. What is fitted for a base or a server's model "
            "is written to a file: name it with --out."
        )
    budget = Budget(Prices(price_in, price_out), max_cost)
    dataset = read_dataset(data)
    chosen = [task.name for task in chosen_tasks(tasks)] if tasks is not None else tasks_of(model)
    rows = dataset.view(f"IND_{DIVERSE}", "validation", chosen)
    if out is None:
        with Asking() as progress:
            fitted = refit(model, rows, dataset.seed, thresholds=thresholds, progress=progress)
        _say(fitted, data)
        typer.echo(f"Saved with {model}.")
        return
    refuse_existing(out)
    how, reached = Decoding(), Server(server, concurrency, timeout, retries)
    whose = identity(model, how, template, reached)["model"]

    def spent(usage: Usage) -> None:
        try:
            budget.spend(usage)
        except ValueError as error:
            raise ValueError(f"The answers so far cost more than {max_cost:,.4f}: nothing was written.") from error

    before = budget.plan(how, typer.echo) if model.startswith(OPENAI) else None
    generator = load_generator(model, how, template, reached)
    with Asking() as progress:
        fitted = fit_policy(
            generator,
            rows,
            dataset.seed,
            thresholds=thresholds,
            progress=progress,
            before=before,
            spent=spent,
        )
    _say(fitted, data)
    with naming(out):
        found = CalibrationFile(
            model=whose, dataset=dataset.hash(), temperatures=fitted.temperatures, offsets=fitted.offsets
        )
        write_calibration(out, found)
    typer.echo(f"Written to {out}.")


def _say(fitted: "Fitted", data: Path) -> None:
    """Tell what was fitted; raises ValueError where nothing was."""
    if not fitted.temperatures and not fitted.offsets:
        reasons = " ".join(fitted.lines()) or "It has no validation rows of multiple-choice tasks."
        raise ValueError(f"Nothing can be fitted on {data}. {reasons}")
    for line in fitted.lines():
        typer.echo(line)
