"""Fitting a baseline: one small model for each task, written whole as a MODEL folder."""

from collections.abc import Callable, Collection
from pathlib import Path

from ecellm import __version__
from ecellm.baselines.kinds import kind, tasks_of
from ecellm.baselines.part import Choices, Part, Told
from ecellm.dataset.dataset import Dataset
from ecellm.files import refuse_existing, whole_folder
from ecellm.models.folder import write_facts
from ecellm.tasks import TASKS

FAMILY = "baseline"


def fit_baseline(
    name: str,
    dataset: Dataset,
    out: Path,
    tasks: Collection[str] | None = None,
    choices: Choices | None = None,
    fitting: Callable[[str], Told] = lambda task: lambda done, total, said: None,
) -> list[str]:
    """Fit the baseline on each task (None: all that it is for and that the dataset trains) and write `out`.

    `fitting(task)` is called as each task begins and returns what is told of its progress. Returns the tasks.
    Raises ValueError where a named task has no training rows or is not the baseline's, where there is no task
    left, and where `out` exists.
    """
    refuse_existing(out)
    choices = choices or Choices()
    if tasks is None:
        trained = {sample.task for sample in dataset.samples("train")}
        tasks = [task for task in tasks_of(name) if task in trained]
    kinds = {task: kind(name, task) for task in TASKS if task in tasks}
    if not kinds:
        raise ValueError(f"{dataset.path} has no training rows that the baseline {name!r} could be fitted on.")
    with whole_folder(out) as folder:
        for task, model in kinds.items():
            model.fit(TASKS[task], dataset, choices, fitting(task)).save(Part(folder, task))
        recipe = {"name": name, "family": FAMILY, "base": choices.base, "epochs": choices.epochs}
        write_facts(
            folder,
            {
                "recipe": {**recipe, "limit": choices.limit, "seed": choices.seed},
                "tasks": list(kinds),
                "parts": {task: Part(folder, task).hash() for task in kinds},
                "dataset": dataset.hash(),
                "versions": {"ecellm": __version__},
            },
        )
    return list(kinds)
