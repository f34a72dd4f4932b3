"""The paper's own figures, quoted from its tables (`published_scores.csv` names the source)."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ecellm.types import DIVERSE

SOURCE = "Peng et al., eCeLLM (ICML 2024, arXiv 2402.08831), the per-task tables"
GENERALIST, SPECIALIST, ALONE = "eCeLLM generalist", "SoTA task-specific", "eCeLLM task-specific"
#: The encoder of the paper's BERTScores.
SCORER = "roberta-large"
BEST = "best task-specific model"
#: The paper's names of its main models, by base.
NAMES = {"Llama-2 13B-chat": "eCeLLM-L", "Mistral-7B Instruct-v0.2": "eCeLLM-M", "Phi-2": "eCeLLM-S"}


@dataclass(frozen=True)
class Quoted:
    """One printed figure."""

    value: float
    model: str
    failed: int
    """Unparsed answers, which the published rules omit."""


#: Figures by task, by the name of a row.
QuotedRows = dict[str, dict[str, Quoted]]


def quoted_rows(setting: str) -> QuotedRows:
    """Return the rows of the paper's main tables: general and e-commerce LLMs, the best task-specific, L, M, S.

    Empty for settings of which the tables give no figure, such as unseen instructions.
    """
    found: QuotedRows = {}
    for row, quoted in _figures(setting):
        name = _main_name(row)
        cells = found.setdefault(name, {}) if name is not None else {}
        best = cells.get(row["task"])
        if best is None or quoted.value > best.value:
            cells[row["task"]] = quoted
    return found


def study_rows(setting: str) -> QuotedRows:
    """Return the rows of the paper's study: on each of six bases, one model for all tasks and one for each."""
    found: QuotedRows = {}
    for row, quoted in _figures(setting):
        if row["group"] in (GENERALIST, ALONE):
            how = "one model for all" if row["group"] == GENERALIST else "one model a task"
            found.setdefault(f"{row['model']}, {how}", {})[row["task"]] = quoted
    return dict(sorted(found.items()))


def _main_name(row: Mapping[str, str]) -> str | None:
    if row["group"] == SPECIALIST:
        return BEST
    if row["group"] == GENERALIST:
        return NAMES.get(row["model"])
    return None if row["group"] == ALONE else row["model"]


def _figures(setting: str) -> list[tuple[Mapping[str, str], Quoted]]:
    return [
        (row, Quoted(float(row["value"]), row["model"], int(row["failed"])))
        for row in _table()
        if f"{row['domain']}_{DIVERSE}" == setting
    ]


@cache
def _table() -> tuple[dict[str, str], ...]:
    text = files("ecellm.evaluation").joinpath("published_scores.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
