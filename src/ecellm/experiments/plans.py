"""What each study varies: one model for all tasks or one a task, instructions, training rows, bases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecellm.data.dataset import Dataset
from ecellm.errors import ConfigError
from ecellm.tasks import TASKS
from ecellm.types import DIVERSE, DOMAINS, SINGLE, UNSEEN

#: The paper's four training sets, of 92,022 rows (section 6): other datasets get the same shares.
PAPER_SIZES, PAPER_ROWS = (1_000, 10_000, 47_000, 92_022), 92_022


@dataclass(frozen=True)
class Arm:
    """One model to tune and evaluate."""

    name: str
    """Valid as a folder's name."""
    recipe: str
    tasks: tuple[str, ...]
    """Tuned and evaluated on these."""
    setting: str = f"IND_{DIVERSE}"
    """Tuned under it."""
    limit: int | None = None
    """Training rows at most."""


@dataclass(frozen=True)
class Side:
    """What is compared: one model, or several that share the tasks among them."""

    name: str
    arms: tuple[Arm, ...]
    size: int | None = None
    """Training rows, where the study is about them."""


@dataclass(frozen=True)
class Study:
    """Sides, the first of which the others are compared with, and the parts of the settings to evaluate."""

    name: str
    title: str
    sides: tuple[Side, ...]
    asked: tuple[str, ...]

    def settings(self, dataset: Dataset, arm: Arm) -> list[str]:
        """Return the settings under which an arm is evaluated: those whose domain has test rows of its tasks."""
        domains = [domain for domain in DOMAINS if dataset.examples("test", domain, arm.tasks)]
        return [f"{domain}_{part}" for domain in domains for part in self.asked]


def generalist(dataset: Dataset, recipes: Sequence[str], sizes: Sequence[int]) -> Study:
    """One model for all tasks against one a task (paper, section 6, generalist and task-specific models)."""
    recipe, tasks = _only(recipes, "generalist"), _tuned_tasks(dataset)
    apart = tuple(Arm(f"{_stem(recipe)}-only-{task}", recipe, (task,)) for task in tasks)
    return Study(
        "generalist",
        "One model for all tasks, and one a task",
        (Side("one for all", (_whole(recipe, tasks),)), Side("one a task", apart)),
        (DIVERSE,),
    )


def instructions(dataset: Dataset, recipes: Sequence[str], sizes: Sequence[int]) -> Study:
    """Tuned on diverse instructions against on one a task; evaluated with seen and unseen ones (paper, section 6)."""
    recipe, tasks = _only(recipes, "instructions"), _tuned_tasks(dataset)
    single = Arm(f"{_stem(recipe)}-single", recipe, tasks, f"IND_{SINGLE}")
    sides = (Side("diverse", (_whole(recipe, tasks),)), Side("one instruction", (single,)))
    return Study("instructions", "Diverse instructions, and one a task", sides, (DIVERSE, SINGLE, UNSEEN))


def scale(dataset: Dataset, recipes: Sequence[str], sizes: Sequence[int]) -> Study:
    """All training rows against fewer (paper, section 6): by default in the shares of the paper's four sizes.

    Raises ConfigError where a size is not below the number of training rows.
    """
    recipe, tasks = _only(recipes, "scale"), _tuned_tasks(dataset)
    rows = len(dataset.examples("train", "IND"))
    fewer = sorted(
        {*sizes} or {max(len(tasks), rows * size // PAPER_ROWS) for size in PAPER_SIZES[:-1]}, reverse=True
    )
    wrong = next((size for size in fewer if not 0 < size < rows), None)
    if wrong is not None:
        raise ConfigError(f"--sizes {wrong}: the dataset has {rows:,} training rows; name sizes below that.")
    sides = [Side(f"all {rows:,} rows", (_whole(recipe, tasks),), rows)]
    for size in fewer:
        arm = Arm(f"{_stem(recipe)}-rows-{size}", recipe, tasks, limit=size)
        sides.append(Side(f"{size:,} rows", (arm,), size))
    return Study("scale", "More and fewer training rows", tuple(sides), (DIVERSE,))


def bases(dataset: Dataset, recipes: Sequence[str], sizes: Sequence[int]) -> Study:
    """Several recipes on the same data; the first is what the others are compared with.

    Raises ConfigError where there are not two or more, or two have one name.
    """
    names = [_stem(recipe) for recipe in recipes]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError("The study bases needs two or more recipes of different names: repeat --recipe.")
    tasks = _tuned_tasks(dataset)
    sides = (Side(name, (_whole(recipe, tasks),)) for name, recipe in zip(names, recipes, strict=True))
    return Study("bases", "Several bases", tuple(sides), (DIVERSE, UNSEEN))


#: By name; each takes the dataset, recipes and sizes.
STUDIES: Mapping[str, Callable[[Dataset, Sequence[str], Sequence[int]], Study]] = {
    "generalist": generalist,
    "instructions": instructions,
    "scale": scale,
    "bases": bases,
}


def _tuned_tasks(dataset: Dataset) -> tuple[str, ...]:
    """Return the tasks that have training rows; raises ConfigError where none has."""
    found = {example.task for example in dataset.examples("train", "IND")}
    if not found:
        raise ConfigError(f"{dataset.path} has no training rows: there is nothing to study.")
    return tuple(task for task in TASKS if task in found)


def _whole(recipe: str, tasks: tuple[str, ...]) -> Arm:
    """Return the arm that several studies share: all tasks, diverse instructions, all rows."""
    return Arm(f"{_stem(recipe)}-all", recipe, tasks)


def _stem(recipe: str) -> str:
    return Path(recipe).stem


def _only(recipes: Sequence[str], study: str) -> str:
    if len(recipes) != 1:
        raise ConfigError(f"The study {study} takes one --recipe.")
    return recipes[0]
