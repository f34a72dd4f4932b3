"""Fitting a baseline and asking it, as the commands do."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ecellm.data.dataset import Dataset
from ecellm.evaluation.evaluate import evaluate
from ecellm.inference.predict import predict
from ecellm.inference.selection import questions
from ecellm.models.baselines.base import Choices
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.load import load_generator

DIVERSE = "IND_Diverse_Instruction"


def answered(
    name: str,
    data: Dataset,
    folder: Path,
    tasks: Collection[str] | None = None,
    settings: Sequence[str] = (DIVERSE,),
    choices: Choices | None = None,
) -> list[dict[str, Any]]:
    """Fit a baseline into `folder`/model and return its lines of `folder`/answers.jsonl."""
    fitted = fit_baseline(name, data, folder / "model", tasks, choices)
    asked = questions(data, settings, fitted)
    predict(load_generator(folder / "model"), asked, folder / "answers.jsonl", {"model": name})
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def scored(
    name: str, data: Dataset, folder: Path, tasks: Collection[str], choices: Choices | None = None
) -> dict[str, dict[str, Any]]:
    """Fit a baseline, ask it, and return the main figures by task."""
    return {row["task"]: row for row in figures(name, data, folder, tasks, choices=choices)}


def figures(
    name: str,
    data: Dataset,
    folder: Path,
    tasks: Collection[str],
    settings: Sequence[str] = (DIVERSE,),
    choices: Choices | None = None,
) -> list[dict[str, Any]]:
    """Fit a baseline, ask it, and return the main figures by task and setting."""
    answered(name, data, folder, tasks, settings, choices)
    rows = evaluate(folder / "answers.jsonl", data)["scores"]
    return [row for row in rows if row["main"] and row["scoring"] == "strict"]
