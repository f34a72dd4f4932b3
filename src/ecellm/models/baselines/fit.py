"""Fitting a baseline: one small model for each task, in a MODEL folder.

A folder that has `begun.json` and no `ecellm.json` is a fitting that was interrupted: it holds the tasks that were
done, and of a network the state after its last pass. The same command resumes it.
"""

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from ecellm import __version__
from ecellm.data.dataset import Dataset
from ecellm.errors import DataError, ModelError
from ecellm.io.files import refuse_existing, reporting_disk_full, write_text
from ecellm.io.json_files import read_run_record
from ecellm.io.json_types import json_fault
from ecellm.models.baselines.base import Choices, FitProgress
from ecellm.models.baselines.family import BASELINE
from ecellm.models.baselines.generator import BaselineGenerator
from ecellm.models.baselines.registry import kind, tasks_of
from ecellm.models.calibration.fitting import fit_calibration
from ecellm.models.folder import ModelInfo, is_finished, write_info
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.tasks import TASKS
from ecellm.types import Question

BEGUN = "begun.json"


def fit_baseline(
    name: str,
    dataset: Dataset,
    out: Path,
    tasks: Collection[str] | None = None,
    choices: Choices | None = None,
    fitting: Callable[[str], FitProgress] = lambda task: lambda done, total, remark: None,
    say: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Fit the baseline on each task (None: all that it is for and that the dataset trains) and write `out`.

    Temperatures and decision thresholds of all tasks come last (`models/calibration`). An interrupted run with the
    same choices is resumed from `out`; the result is the same. `fitting(task)` is called as each task begins and
    returns the callback for its progress; `say` is called with each line on temperatures and thresholds. Returns the
    tasks. Raises ModelError where a named task has no training rows or is not the baseline's, where there is no task
    left, and where `out` holds anything else.
    """
    choices = choices or Choices()
    if tasks is None:
        trained = {example.task for example in dataset.examples("train")}
        tasks = [task for task in tasks_of(name) if task in trained]
    kinds = {task: kind(name, task) for task in TASKS if task in tasks}
    if not kinds:
        raise ModelError(f"{dataset.path} has no training rows that the baseline {name!r} could be fitted on.")
    recipe = {"name": name, "family": BASELINE.name, "base": choices.base, "epochs": choices.epochs}
    facts: dict[str, object] = {
        "recipe": {**recipe, "limit": choices.limit, "seed": choices.seed},
        "tasks": list(kinds),
        "dataset": dataset.hash(),
        "versions": {"ecellm": __version__},
    }
    with _begun(out, facts) as parts:
        for task, model in kinds.items():
            part, passes = TaskFiles(out, task), out / f"{task}.passes"
            if task not in parts:
                model.fit(TASKS[task], dataset, replace(choices, begun=passes), fitting(task)).save(part)
                parts[task] = part.hash()
                _note(out, facts, parts)
            passes.unlink(missing_ok=True)
        info = ModelInfo.model_validate({**facts, "parts": parts, "offsets": {}, "temperatures": {}})
        # Baselines read no instruction: any will do.
        validation = [
            Question(row, TASKS[row.task].seed_instruction) for row in dataset.examples("validation", "IND", kinds)
        ]
        fitted = fit_calibration(BaselineGenerator(out, choices.device, info), validation, dataset.seed)
        write_info(out, fitted.added_to(info))
        (out / BEGUN).unlink()
    for line in fitted.lines():
        say(line)
    return list(kinds)


@contextmanager
def _begun(out: Path, facts: Mapping[str, object]) -> Iterator[dict[str, str]]:
    """Make or resume `out`, and yield the parts that are done; where none is, an error leaves nothing.

    Raises ModelError where `out` holds anything but an interrupted fitting by these facts.
    """
    parts: dict[str, str] = {}
    begun = (out / BEGUN).is_file() and not is_finished(out)
    if begun:
        before = read_run_record(out / BEGUN)
        if fault := json_fault(noted := before.pop("parts", None), dict[str, str], where="parts"):
            raise DataError(f"{out / BEGUN}: {fault}: name another output, or remove {out}.")
        parts = cast(dict[str, str], noted)
        different = [key for key in facts if facts[key] != before.get(key)]
        if different:
            raise ModelError(
                f"{out} was begun with another {', '.join(different)}: repeat the command that began it to resume, "
                "name another output, or remove the folder."
            )
    else:
        refuse_existing(out)
    try:
        with reporting_disk_full(out):
            if not begun:
                out.mkdir(parents=True, exist_ok=True)
                _note(out, facts, parts)
            yield parts
    except BaseException:
        if not parts and not any(out.glob("*.passes")):
            shutil.rmtree(out, ignore_errors=True)
        raise


def _note(out: Path, facts: Mapping[str, object], parts: dict[str, str]) -> None:
    write_text(json.dumps({**facts, "parts": parts}, indent=2) + "\n", out / BEGUN)
