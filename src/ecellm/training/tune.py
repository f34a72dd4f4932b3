"""The tuning run: from a dataset and a recipe to a MODEL folder, resumable at any moment."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from transformers import set_seed

from ecellm.data.dataset import Dataset, spread
from ecellm.errors import ConfigError
from ecellm.io.files import refuse_existing, write_text
from ecellm.io.json_files import read_run_record
from ecellm.io.locks import write_lock
from ecellm.io.progress import QuestionProgress
from ecellm.models.calibration.fitting import fit_calibration
from ecellm.models.families import find_family, tuning_of
from ecellm.models.folder import CHECKPOINTS, ModelInfo, is_finished, write_info
from ecellm.models.load import load_generator, with_info
from ecellm.models.model_card import CURVE, LOG, write_model_card
from ecellm.models.training.checkpoints import last_checkpoint
from ecellm.models.training.rows import Rows
from ecellm.training.loss_curve import draw_losses
from ecellm.training.memory import device_name, freed_memory_kept
from ecellm.training.monitoring import Monitoring
from ecellm.training.preflight import Preflight, preflight
from ecellm.training.recipe import Recipe
from ecellm.training.trackers import check_trackers
from ecellm.types import DIVERSE, Question

RUN, LOCK = "run.json", "run.lock"
DEFAULT_SETTING = f"IND_{DIVERSE}"


def tune(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    *,
    tasks: Collection[str] | None = None,
    setting: str = DEFAULT_SETTING,
    resume: bool = False,
    limit: int | None = None,
    show_samples: int = 0,
    report_to: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Tune a model and write it to `out`.

    At each validation `show_samples` of its rows are answered and shown; metrics go to the trackers `report_to`
    (transformers' names of them). Neither changes the run, so a resumed one may have others.

    Under torchrun or accelerate launch every process calls this; the first one writes.

    Raises ConfigError where `out` holds something else, where a resumed run differs in dataset or recipe, where the
    dataset has no training rows for the tasks and setting, where another run is tuning to `out`, for XS in several
    processes, for a tracker that is not known or not installed, and where there is no row to show or the model is
    spread over processes.
    """
    first = os.environ.get("RANK", "0") == "0"
    console = console or Console(stderr=True, quiet=not first)
    if find_family(recipe.family).one_process and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"Recipe {recipe.name} is for one process: start it without torchrun or accelerate launch.")
    check_trackers(report_to)
    if show_samples and os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true", "yes", "on"):
        raise ConfigError("--show-samples needs the whole model, which FSDP spreads over processes: omit it.")
    if resume and is_finished(out):
        console.print(f"{out} is finished: nothing to do.")
        return
    run = _checked_run(recipe, dataset, out, tasks, setting, limit, resume) if first else None
    set_seed(recipe.optimisation.seed)
    rows = _rows(dataset, tasks, setting, limit)
    shown = spread(rows.validation, show_samples, dataset.seed)
    if show_samples and not shown:
        raise ConfigError(
            f"{dataset.path} has no validation rows for {setting} and these tasks: no examples to show."
        )
    monitoring = Monitoring(console, out, shown, report_to)
    with nullcontext() if run is None else _begun(out, run):
        with freed_memory_kept():
            checkpoint = last_checkpoint(out) if resume else None
            info = tuning_of(recipe.family).tune(recipe, rows, out, checkpoint, monitoring)
        if first:
            _finish(recipe, dataset, rows, out, info, console)


@contextmanager
def _begun(out: Path, run: Mapping[str, object]) -> Iterator[None]:
    """Write the record of the run and lock the folder; raises ConfigError where another run holds it."""
    with ExitStack() as stack:
        if (out / LOCK).is_file():  # of a run that is going on, or was killed
            stack.enter_context(write_lock(out / LOCK))
        write_text(json.dumps(run, indent=2), out / RUN)
        if not (out / LOCK).is_file():
            stack.enter_context(write_lock(out / LOCK))
        yield
        (out / LOCK).unlink()


def _finish(recipe: Recipe, dataset: Dataset, rows: Rows, out: Path, info: ModelInfo, console: Console) -> None:
    """Write what stands beside the weights: the description, with temperatures and thresholds, picture and card."""
    known = {
        "dataset": dataset.hash(),
        "versions": {name: version(name) for name in ("ecellm", "torch", "transformers", "peft")},
        "rows": dict(Counter(row.example.task for row in rows.train)),
        "device": device_name(),
        "offsets": {},
        "temperatures": {},
    }
    info = info.model_copy(update=known)
    if (out / LOG).is_file():  # of a family whose tuning has steps
        draw_losses(out / LOG, out / CURVE)
    if recipe.validation.calibrate or recipe.validation.fit_thresholds:
        info = _fitted(recipe, info, rows.validation, dataset.seed, out, console)
    write_info(out, info)
    write_model_card(out)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def _fitted(
    recipe: Recipe, info: ModelInfo, validation: Sequence[Question], seed: int, out: Path, console: Console
) -> ModelInfo:
    """Return the description of a model that is not finished yet with its temperatures and decision thresholds."""
    with with_info(out, info) as unfitted, QuestionProgress(console) as progress:
        fitted = fit_calibration(
            load_generator(unfitted),
            validation,
            seed,
            temperatures=recipe.validation.calibrate,
            thresholds=recipe.validation.fit_thresholds,
            progress=progress,
        )
    for line in fitted.lines():
        console.print(line)
    return fitted.added_to(info)


def check(
    recipe: Recipe,
    dataset: Dataset,
    *,
    tasks: Collection[str] | None = None,
    setting: str = DEFAULT_SETTING,
    limit: int | None = None,
    console: Console | None = None,
) -> Preflight:
    """Return what a run of `tune` would need; nothing is kept. Raises ConfigError as that, but for the output."""
    console = console or Console(stderr=True)
    rows = _rows(dataset, tasks, setting, limit)
    with tempfile.TemporaryDirectory(prefix="ecellm-") as folder:
        trainer = tuning_of(recipe.family).trainer_for(recipe, rows, Path(folder), console)
        with freed_memory_kept():
            return preflight(trainer, len(rows.train))


def _rows(dataset: Dataset, tasks: Collection[str] | None, setting: str, limit: int | None) -> Rows:
    train = spread(dataset.view(setting, "train", tasks), limit, dataset.seed)
    if not train:
        raise ConfigError(f"{dataset.path} has no training rows for {setting} and these tasks.")
    return Rows(train, dataset.view(setting, "validation", tasks))


def _checked_run(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    tasks: Collection[str] | None,
    setting: str,
    limit: int | None,
    resume: bool,
) -> dict[str, object]:
    """Return the record of the run; raises ConfigError where `out` holds something that it cannot resume."""
    run: dict[str, object] = {
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset.hash(),
        "tasks": sorted(tasks) if tasks is not None else None,
        "setting": setting,
        "limit": limit,
    }
    record = out / RUN
    if record.is_file():
        if is_finished(out) or not resume:
            state = "a finished model" if is_finished(out) else "an unfinished run: use --resume"
            raise ConfigError(f"{out} holds {state}; or name another output.")
        before = read_run_record(record)
        different = [key for key in run if run[key] != before.get(key)]
        if different:
            raise ConfigError(
                f"{out} was begun with another {', '.join(different)}: "
                "resume with the same ones, or name another output."
            )
    else:
        refuse_existing(out)
    return run
