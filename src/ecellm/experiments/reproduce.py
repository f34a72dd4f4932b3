"""The paper's whole set-up as studies that share their runs: which, on which bases, and what they will take."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from ecellm.data.dataset import Dataset
from ecellm.experiments.plans import STUDIES, Arm
from ecellm.experiments.runner import Grid
from ecellm.training.recipe import recipe_text

#: The paper's six bases (section 5), the one of its M first: the others are compared with it.
PAPER = ("m", "l", "s", "llama-2-7b", "flan-t5-xxl", "flan-t5-xl")
SMALL = ("xs",)
#: What a recipe's header says of time.
COUNTED = re.compile(r"about ([\d.]+) hours? on (.+?) for .*?([\d,]+) rows")


@dataclass(frozen=True)
class Stage:
    """One study of the plan."""

    name: str
    recipes: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Return the folder's name below the reproduction's."""
        return self.name if len(self.recipes) > 1 else f"{self.name}-{Path(self.recipes[0]).stem}"


def stages(recipes: Sequence[str]) -> list[Stage]:
    """Return the studies: all bases beside each other; for each base one model against one a task; training rows and
    instructions for the first."""
    together = [Stage("bases", tuple(recipes))] if len(recipes) > 1 else []
    apart = [Stage("generalist", (recipe,)) for recipe in recipes]
    return [*together, *apart, Stage("scale", (recipes[0],)), Stage("instructions", (recipes[0],))]


def grids(
    recipes: Sequence[str],
    dataset: Dataset,
    out: Path,
    seeds: Sequence[int],
    changes: Sequence[str],
    test_rows: int | None,
    devices: Sequence[str],
) -> list[Grid]:
    """Return the grid of each stage; all share the runs below `out`."""
    return [
        Grid(
            STUDIES[stage.name](dataset, stage.recipes, ()),
            dataset,
            out / stage.folder,
            seeds,
            changes,
            test_rows,
            devices,
            out / "runs",
        )
        for stage in stages(recipes)
    ]


@dataclass(frozen=True)
class Needs:
    """What a recipe takes in a reproduction."""

    recipe: str
    models: int
    rows: int
    """That are tuned on, all models together."""
    hardware: str
    """What its header says."""
    rate: tuple[float, str] | None
    """Hours for each training row, and on what; None where unknown."""

    def text(self) -> str:
        """Return one line."""
        text = f"{self.recipe}: {self.models} models on {self.rows:,} training rows in all"
        if self.rate is None:
            return (
                f"{text}; hours unknown: `ecellm tune {self.recipe} --check` measures them. {self.hardware}".strip()
            )
        hours, where = self.rate
        return f"{text}, about {hours * self.rows:,.1f} hours of tuning on {where}. {self.hardware}".strip()


def plan(made: Sequence[Grid], dataset: Dataset) -> list[Needs]:
    """Return by recipe how many models are tuned, on how many rows in all, what they need and how long they take.

    Prediction comes on top.
    """
    runs = {(arm.name, seed): arm for grid in made for arm, seed in grid.arms()}
    found = []
    for recipe in dict.fromkeys(arm.recipe for arm in runs.values()):
        of_it = [arm for arm in runs.values() if arm.recipe == recipe]
        rows = sum(_rows(dataset, arm) for arm in of_it)
        found.append(Needs(recipe, len(of_it), rows, hardware(recipe), rate(recipe)))
    return found


def rate(recipe: str) -> tuple[float, str] | None:
    """Return a recipe's hours a training row, over all passes, and on what; None where its header has none."""
    match = COUNTED.search(hardware(recipe))
    if match is None:
        return None
    hours, where, rows = match.groups()
    return float(hours) / int(rows.replace(",", "")), where


def hardware(recipe: str) -> str:
    """Return what a recipe's header says after "Hardware:", as one line; empty where it says nothing."""
    header = takewhile(lambda line: line.startswith("#"), recipe_text(recipe).splitlines())
    lines = [line.removeprefix("#").strip() for line in header]
    start = next((place for place, line in enumerate(lines) if line.startswith("Hardware:")), None)
    if start is None:
        return ""
    end = next((place for place in range(start + 1, len(lines)) if not lines[place]), len(lines))
    return " ".join(lines[start:end]).removeprefix("Hardware:").strip()


def _rows(dataset: Dataset, arm: Arm) -> int:
    """Return how many rows an arm is tuned on."""
    rows = len(dataset.examples("train", "IND", arm.tasks))
    return rows if arm.limit is None else min(arm.limit, rows)
