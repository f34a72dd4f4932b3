"""The tuning run: from a dataset and a recipe to a MODEL folder, resumable at any moment."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import Trainer, set_seed

from ecellm.dataset.dataset import Asked, Dataset, spread
from ecellm.files import refuse_existing, whole_file, written_alone
from ecellm.inference.asking import Asking
from ecellm.inference.load import load_generator, with_facts
from ecellm.inference.policy import fit_policy
from ecellm.models.card import CURVE, LOG, write_model_card
from ecellm.models.folder import is_finished, write_facts
from ecellm.records import DIVERSE
from ecellm.tuning.checkpoints import CHECKPOINTS, last_checkpoint
from ecellm.tuning.curve import draw_losses
from ecellm.tuning.memory import device_name, freed_memory_kept
from ecellm.tuning.monitoring import Monitoring
from ecellm.tuning.preflight import Preflight, preflight
from ecellm.tuning.recipe import Recipe
from ecellm.tuning.rows import Rows
from ecellm.tuning.trackers import check_trackers

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

    Raises ValueError where `out` holds something else, where a resumed run differs in dataset or recipe, where the
    dataset has no training rows for the tasks and setting, where another run is tuning to `out`, for XS in several
    processes, for a tracker that is not known or not installed, and where there is no row to show or the model is
    spread over processes.
    """
    first = os.environ.get("RANK", "0") == "0"
    console = console or Console(stderr=True, quiet=not first)
    if recipe.family == "prefix" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(f"Recipe {recipe.name} is for one process: start it without torchrun or accelerate launch.")
    check_trackers(report_to)
    if show_samples and os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true", "yes", "on"):
        raise ValueError("--show-samples asks the whole model, which FSDP spreads over processes: leave it out.")
    if resume and is_finished(out):
        console.print(f"{out} is finished: nothing to do.")
        return
    run = _checked_run(recipe, dataset, out, tasks, setting, limit, resume) if first else None
    set_seed(recipe.optimisation.seed)
    rows = _rows(dataset, tasks, setting, limit)
    shown = spread(rows.validation, show_samples, dataset.seed)
    if show_samples and not shown:
        raise ValueError(f"{dataset.path} has no validation rows for {setting} and these tasks: no samples to show.")
    monitoring = Monitoring(console, out, shown, report_to)
    with nullcontext() if run is None else _begun(out, run):
        with freed_memory_kept():
            found = _tuned(recipe, rows, out, last_checkpoint(out) if resume else None, monitoring)
        if first:
            _finish(recipe, dataset, rows, out, found, console)


@contextmanager
def _begun(out: Path, run: dict[str, Any]) -> Iterator[None]:
    """Write down what the run is made of, and keep others from the folder; raises ValueError where one is in it."""
    with ExitStack() as alone:
        if (out / LOCK).is_file():  # of a run that goes on, or was killed
            alone.enter_context(written_alone(out / LOCK))
        with whole_file(out / RUN) as path:
            path.write_text(json.dumps(run, indent=2), encoding="utf-8")
        if not (out / LOCK).is_file():
            alone.enter_context(written_alone(out / LOCK))
        yield
        (out / LOCK).unlink()


def _finish(recipe: Recipe, dataset: Dataset, rows: Rows, out: Path, found: dict[str, Any], console: Console) -> None:
    """Write what stands beside the weights: facts, with temperatures and thresholds, picture and card."""
    facts: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset.hash(),
        "versions": {name: version(name) for name in ("ecellm", "torch", "transformers", "peft")},
        "rows": dict(Counter(row.sample.task for row in rows.train)),
        "device": device_name(),
    }
    facts |= {**found, "offsets": {}, "temperatures": {}}
    draw_losses(out / LOG, out / CURVE)
    if recipe.validation.calibrate or recipe.validation.fit_thresholds:
        facts = _fitted(recipe, facts, rows.validation, dataset.seed, out, console)
    write_facts(out, facts)
    write_model_card(out)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def _fitted(
    recipe: Recipe, facts: dict[str, Any], validation: Sequence[Asked], seed: int, out: Path, console: Console
) -> dict[str, Any]:
    """Return the facts of a model that is not finished yet with its temperatures and decision thresholds."""
    with with_facts(out, facts) as unfitted, Asking(console) as progress:
        fitted = fit_policy(
            load_generator(unfitted),
            validation,
            seed,
            temperatures=recipe.validation.calibrate,
            thresholds=recipe.validation.fit_thresholds,
            progress=progress,
        )
    for line in fitted.lines():
        console.print(line)
    return fitted.added_to(facts)


def check(
    recipe: Recipe,
    dataset: Dataset,
    *,
    tasks: Collection[str] | None = None,
    setting: str = DEFAULT_SETTING,
    limit: int | None = None,
    console: Console | None = None,
) -> Preflight:
    """Return what a run of `tune` would take; nothing is kept. Raises ValueError as that, but for the output."""
    console = console or Console(stderr=True)
    rows = _rows(dataset, tasks, setting, limit)
    with tempfile.TemporaryDirectory(prefix="ecellm-") as folder:
        trainer: Trainer
        if recipe.family == "prefix":
            from ecellm.tuning.prefix import prepared

            trainer = prepared(recipe, rows, Path(folder), console).trainer
        else:
            from ecellm.tuning.language import language_trainer

            trainer, _, _ = language_trainer(recipe, rows, Path(folder), console)
        with freed_memory_kept():
            return preflight(trainer, len(rows.train))


def _rows(dataset: Dataset, tasks: Collection[str] | None, setting: str, limit: int | None) -> Rows:
    train = spread(dataset.view(setting, "train", tasks), limit, dataset.seed)
    if not train:
        raise ValueError(f"{dataset.path} has no training rows for {setting} and these tasks.")
    return Rows(train, dataset.view(setting, "validation", tasks))


def _tuned(recipe: Recipe, rows: Rows, out: Path, checkpoint: str | None, monitoring: Monitoring) -> dict[str, Any]:
    """Tune as the recipe's family is tuned; returns the facts of the run."""
    if recipe.family == "prefix":
        from ecellm.tuning.prefix import tune_prefix

        return tune_prefix(recipe, rows, out, checkpoint, monitoring)
    from ecellm.tuning.language import tune_language

    return tune_language(recipe, rows, out, checkpoint, monitoring)


def _checked_run(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    tasks: Collection[str] | None,
    setting: str,
    limit: int | None,
    resume: bool,
) -> dict[str, Any]:
    """Return what the run is made of; raises ValueError where `out` holds something that it cannot go on with."""
    run = {
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset.hash(),
        "tasks": sorted(tasks) if tasks is not None else None,
        "setting": setting,
        "limit": limit,
    }
    record = out / RUN
    if record.is_file():
        if is_finished(out) or not resume:
            state = "a finished model" if is_finished(out) else "an unfinished run: go on with --resume"
            raise ValueError(f"{out} holds {state}; or name another output.")
        before = json.loads(record.read_text(encoding="utf-8"))
        different = [key for key in run if run[key] != before.get(key)]
        if different:
            raise ValueError(
                f"{out} was begun with another {', '.join(different)}: "
                "resume with the same ones, or name another output."
            )
    else:
        refuse_existing(out)
    return run
