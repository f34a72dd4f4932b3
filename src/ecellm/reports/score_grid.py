"""The figures of the report: models by tasks, in one setting, beside trivial baselines and the paper's own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecellm.data.dataset import split_setting
from ecellm.evaluation.published_scores import SCORER, Quoted, QuotedRows, quoted_rows, study_rows
from ecellm.evaluation.runs import ScoredRun, main_rows
from ecellm.evaluation.score_rows import ScoreRow
from ecellm.reports.tables import interval_text, metric_text
from ecellm.tasks import TASKS
from ecellm.types import DIVERSE, ONE_SHOT, SINGLE, UNSEEN

PARTS = (DIVERSE, UNSEEN, SINGLE, ONE_SHOT)
PART_NAMES = {
    DIVERSE: "",
    UNSEEN: ", unseen instructions",
    SINGLE: ", one instruction",
    ONE_SHOT: ", with a worked example",
}
DOMAIN_NAMES = {"IND": "In domain", "OOD": "Out of domain"}
TRIVIAL = "best trivial baseline"


@dataclass(frozen=True)
class Cell:
    """A figure in a table of models by tasks."""

    value: float
    row: ScoreRow | None = None
    """Its score row, of a run's own figures."""
    published: float | None = None
    """The same answers by the published rules."""
    note: str = ""
    best: bool = False
    under: str = ""
    """What stands below the figure, of a quoted one."""

    @property
    def low_high(self) -> str:
        """Return "[.481, .543]", or nothing."""
        return "" if self.row is None else interval_text(self.row).split(" ", 1)[1]

    @property
    def is_not_above_trivial(self) -> bool:
        """Say whether the best trivial baseline on the same rows does as well."""
        trivial = None if self.row is None else self.row.get("floor")
        return trivial is not None and self.value <= trivial


@dataclass(frozen=True)
class ScoreGrid:
    """Models by tasks, in one setting."""

    setting: str
    title: str
    tasks: Sequence[str]
    runs: Mapping[str, Mapping[str, Cell]]
    trivial: Mapping[str, Mapping[str, Cell]]
    """A row for each dataset."""
    quoted: Mapping[str, Mapping[str, Cell]]
    study: Mapping[str, Mapping[str, Cell]]

    @property
    def metrics(self) -> list[str]:
        """Return the metric of each task, with the model that it depends on."""
        return [_metric(task, self.runs.values()) for task in self.tasks]


def score_grid(runs: Sequence[ScoredRun], setting: str) -> ScoreGrid | None:
    """Return the table of a setting, or None where no run was scored under it."""
    by_dataset: dict[str, list[ScoredRun]] = {}
    for run in runs:
        if any(key[1] == setting for key in main_rows(run.rows())):
            by_dataset.setdefault(run.dataset_hash() or f"of {run.name}", []).append(run)
    cells, trivial = {}, {}
    for group in by_dataset.values():
        rows = {run.name: _cells(run, setting) for run in group}
        # Only figures on the same rows are ranked.
        cells.update(_with_best(rows) if len(group) > 1 else rows)
        name = TRIVIAL if len(by_dataset) == 1 else f"{TRIVIAL}, rows of {group[0].name}"
        trivial[name] = _trivial_cells(rows.values())
    if not cells:
        return None
    present = [task for task in TASKS if any(task in row for row in cells.values())]
    domain, part = split_setting(setting)
    return ScoreGrid(
        setting,
        DOMAIN_NAMES[domain] + PART_NAMES[part],
        present,
        {run.name: cells[run.name] for run in runs if run.name in cells},
        trivial,
        _with_best(_quoted(quoted_rows(setting), present)),
        _quoted(study_rows(setting), present),
    )


def _cells(run: ScoredRun, setting: str) -> dict[str, Cell]:
    """Return a run's figures in a setting, by task."""
    published = main_rows(run.rows(), "published")
    return {
        task: Cell(row["value"], row, published[task, of]["value"] if (task, of) in published else None)
        for (task, of), row in main_rows(run.rows()).items()
        if of == setting
    }


def _trivial_cells(rows: Iterable[Mapping[str, Cell]]) -> dict[str, Cell]:
    """Return the best trivial baseline of each task, from the first run that has it."""
    found: dict[str, Cell] = {}
    for task, row in ((task, cell.row) for cells in rows for task, cell in cells.items()):
        if row is not None and (trivial := row.get("floor")) is not None:
            found.setdefault(task, Cell(trivial, note=row.get("floor_name") or ""))
    return found


def _quoted(rows: QuotedRows, tasks: Sequence[str]) -> dict[str, dict[str, Cell]]:
    def cell(task: str, quoted: Quoted) -> Cell:
        # It stands in a column that is headed by the runs' own scoring model.
        under = f"by {SCORER}" if TASKS[task].answer.is_compared else ""
        return Cell(quoted.value, note=f"{quoted.model}; failed answers: {quoted.failed}", under=under)

    shown = {name: {task: cell(task, cells[task]) for task in tasks if task in cells} for name, cells in rows.items()}
    return {name: cells for name, cells in shown.items() if cells}


def _with_best(rows: Mapping[str, Mapping[str, Cell]]) -> dict[str, dict[str, Cell]]:
    """Mark the best of each task; figures of different scoring models, or of more and fewer rows, are not ranked."""
    best: dict[str, float] = {}
    for task in {task for cells in rows.values() for task in cells}:
        there = [cells[task] for cells in rows.values() if task in cells]
        if len({None if cell.row is None else (cell.row.get("model"), cell.row["n"]) for cell in there}) == 1:
            best[task] = max(cell.value for cell in there)
    return {
        name: {task: replace(cell, best=best.get(task) == cell.value) for task, cell in cells.items()}
        for name, cells in rows.items()
    }


def _metric(task: str, rows: Iterable[Mapping[str, Cell]]) -> str:
    names = {metric_text(row) for cells in rows if task in cells and (row := cells[task].row) is not None}
    return " or ".join(sorted(names)) or TASKS[task].metric
