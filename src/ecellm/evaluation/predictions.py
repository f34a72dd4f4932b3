"""Reading PREDICTIONS.jsonl, whoever wrote it: only id, task, setting and text are needed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecellm.dataset.dataset import split_setting
from ecellm.records import Sample
from ecellm.tasks import TASKS

NEEDED = ("id", "task", "setting", "text")

#: Answer texts by (task, setting), then by sample id.
Texts = dict[tuple[str, str], dict[str, str]]


def read_predictions(path: Path, tests: Mapping[str, Sample]) -> Texts:
    """Return the answers of a predictions file to test samples (`tests`, by id).

    Raises ValueError, naming file and line, for a line that is not an object with the four texts, an id that
    is no test row's, a task or setting that does not fit the row, and a second answer to the same question;
    and for a file that is missing or has no answer.
    """
    texts: Texts = {}
    lines: dict[tuple[str, str], int] = {}
    try:
        file = path.open("rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                row = _row(raw)
                _check(row, tests)
                before = lines.setdefault((row["id"], row["setting"]), number)
                if before != number:
                    raise ValueError(
                        f"{row['id']} was answered under {row['setting']} on line {before} already; keep one."
                    )
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            texts.setdefault((row["task"], row["setting"]), {})[row["id"]] = row["text"]
    if not texts:
        raise ValueError(f"{path} has no predictions: write some with `ecellm predict`.")
    return texts


def _row(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("not valid JSON; was the writing interrupted here?") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object.")
    for name in NEEDED:
        if not isinstance(row.get(name), str):
            raise ValueError(f"{name!r} is missing or not text.")
    return row


def _check(row: dict[str, str], tests: Mapping[str, Sample]) -> None:
    if row["task"] not in TASKS:
        raise ValueError(f"unknown task {row['task']!r}; choose from {', '.join(TASKS)}.")
    domain, _ = split_setting(row["setting"])
    sample = tests.get(row["id"])
    if sample is None:
        raise ValueError(f"the dataset has no test row {row['id']!r}; was it another dataset that was asked?")
    if sample.task != row["task"]:
        raise ValueError(f"{row['id']} is a row of {sample.task}, not of {row['task']}.")
    if sample.domain != domain:
        raise ValueError(f"{row['id']} is not asked under {row['setting']}: its domain is {sample.domain}.")
