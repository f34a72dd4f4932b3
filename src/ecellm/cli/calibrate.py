"""`ecellm calibrate`: fit a model's temperatures and decision thresholds on a dataset's validation rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ecellm.cli.options import (
    Address,
    Concurrency,
    Data,
    Layout,
    MaxCost,
    Named,
    PriceIn,
    PriceOut,
    Retries,
    Tasks,
    Timeout,
    server_and_budget,
    task_names,
)
from ecellm.errors import ConfigError, EcellmError
from ecellm.types import DIVERSE

if TYPE_CHECKING:
    from ecellm.data.dataset import Dataset
    from ecellm.models.calibration.fitting import FittedCalibration
    from ecellm.models.remote.client import Server
    from ecellm.models.remote.cost import Budget

#: The setting whose validation rows are asked.
VALIDATED = f"IND_{DIVERSE}"

Thresholds = Annotated[
    bool,
    typer.Option(
        "--thresholds/--no-thresholds", help="Whether decision thresholds are fitted, too; they change answers."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="The file to write for a base or a server's model, for --calibration of predict and ask."),
]


def calibrate(
    model: Named,
    data: Data,
    tasks: Tasks = None,
    thresholds: Thresholds = True,
    out: Out = None,
    template: Layout = None,
    server: Address = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    retries: Retries = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
) -> None:
    """Fit temperatures, which calibrate probabilities, and decision thresholds, task by task.

    They are saved with a MODEL folder; what is fitted for a base or a server's model is written to OUT.
    """
    from ecellm.data.dataset import read_dataset
    from ecellm.io.files import refuse_existing
    from ecellm.models.load import check_is_there, check_predicts, is_tuned, tasks_of

    reached, budget = server_and_budget(model, server, concurrency, timeout, retries, price_in, price_out, max_cost)
    check_predicts(model)
    check_is_there(model)
    if is_tuned(model) and (out or template):
        raise ConfigError(
            f"What is fitted is saved with {model}, prompted as it was tuned: leave --out and --template out."
        )
    if not is_tuned(model) and out is None:
        raise ConfigError(
            f"{model} is not a finished model: it has no ecellm.json. What is fitted for a base or a server's model "
            "is written to a file: name it with --out."
        )
    dataset = read_dataset(data)
    chosen = task_names(tasks) or tasks_of(model)
    if out is None:
        _calibrate_folder(model, dataset, chosen, thresholds)
    else:
        refuse_existing(out)
        _calibrate_untuned(_Untuned(model, template, reached, budget), dataset, chosen, thresholds, out)


class _Untuned(NamedTuple):
    """A base or a server's model, and how it is prompted and reached."""

    name: str
    template: str | None
    server: "Server"
    budget: "Budget"


def _calibrate_folder(model: str, dataset: "Dataset", tasks: list[str] | None, thresholds: bool) -> None:
    """Fit on a MODEL folder's answers and save with it."""
    from ecellm.inference.recalibration import recalibrate
    from ecellm.io.progress import QuestionProgress

    with QuestionProgress() as progress:
        rows = dataset.view(VALIDATED, "validation", tasks)
        fitted = recalibrate(model, rows, dataset.seed, thresholds=thresholds, progress=progress)
    _say(fitted, dataset.path)
    typer.echo(f"Saved with {model}.")


def _calibrate_untuned(
    model: _Untuned, dataset: "Dataset", tasks: list[str] | None, thresholds: bool, out: Path
) -> None:
    """Fit on the answers of a base or a server's model and write a file."""
    from ecellm.io.files import reporting_disk_full
    from ecellm.io.progress import QuestionProgress
    from ecellm.models.base import Decoding, Usage
    from ecellm.models.calibration.file import CalibrationFile, write_calibration
    from ecellm.models.calibration.fitting import fit_calibration
    from ecellm.models.load import OPENAI, identity, load_generator

    def spent(usage: Usage) -> None:
        try:
            model.budget.spend(usage)
        except EcellmError as error:
            raise ConfigError(
                f"The answers so far cost more than {model.budget.most:,.4f}: nothing was written."
            ) from error

    how = Decoding()
    whose = identity(model.name, how, model.template, model.server)["model"]
    before = model.budget.plan(how, typer.echo) if model.name.startswith(OPENAI) else None
    generator = load_generator(model.name, how, model.template, model.server)
    rows = dataset.view(VALIDATED, "validation", tasks)
    with QuestionProgress() as progress:
        fitted = fit_calibration(
            generator, rows, dataset.seed, thresholds=thresholds, progress=progress, before=before, spent=spent
        )
    _say(fitted, dataset.path)
    with reporting_disk_full(out):
        found = CalibrationFile(
            model=whose, dataset=dataset.hash(), temperatures=fitted.temperatures, offsets=fitted.offsets
        )
        write_calibration(out, found)
    typer.echo(f"Written to {out}.")


def _say(fitted: "FittedCalibration", data: Path) -> None:
    """Print what was fitted; raises ConfigError where nothing was."""
    if not fitted.temperatures and not fitted.offsets:
        reasons = " ".join(fitted.lines()) or "It has no validation rows of multiple-choice tasks."
        raise ConfigError(f"Nothing can be fitted on {data}. {reasons}")
    for line in fitted.lines():
        typer.echo(line)
