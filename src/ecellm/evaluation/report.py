"""The report: any number of runs on one page, beside the paper's figures, with all that a reader would ask for.

`read_report` gathers, `report_page` and `report_markdown` write. The page fetches nothing, runs nothing, follows
light and dark, and prints.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ecellm import __version__
from ecellm.dataset.dataset import split_setting
from ecellm.evaluation.compare import Difference, compare_runs
from ecellm.evaluation.errors import worst_errors
from ecellm.evaluation.evaluate import NO_PREDICTIONS, evaluate
from ecellm.evaluation.published import SCORER, SOURCE, Quoted, QuotedRows, quoted_rows, study_rows
from ecellm.evaluation.report_pictures import overview_picture, reliability_picture, training_picture
from ecellm.evaluation.results_page import COUNTS, read_run_facts
from ecellm.evaluation.runs import Run, main_rows
from ecellm.evaluation.table import difference_text, interval_text, metric_text, p_text
from ecellm.files import whole_file
from ecellm.pages import render
from ecellm.pages.markdown import markdown_table
from ecellm.records import DIVERSE, DOMAINS, ONE_SHOT, SETTINGS, SINGLE, UNSEEN
from ecellm.tasks import TASKS
from ecellm.tasks.answers import FreeText

PARTS = (DIVERSE, UNSEEN, SINGLE, ONE_SHOT)
PART_NAMES = {
    DIVERSE: "",
    UNSEEN: ", unseen instructions",
    SINGLE: ", one instruction",
    ONE_SHOT: ", with a worked example",
}
DOMAIN_NAMES = {"IND": "In domain", "OOD": "Out of domain"}
#: The settings whose errors, confusion and slices are shown.
SHOWN_IN_DEPTH = tuple(f"{domain}_{DIVERSE}" for domain in DOMAINS)
#: Of one task in one domain on the page, and of each how much.
MOST_ERRORS, LONGEST_TEXT = 5, 1_200
NONE = "–"  # noqa: RUF001
FLOOR = "best trivial answer"
QUOTED = (
    f"Quoted from {SOURCE}, not computed here: the published rules on ECInstruct's own test rows, without intervals. "
    "Beside other rows or other rules they are a bearing, not a contest. "
    f"Its AG is BERTScore by {SCORER}."
)


@dataclass(frozen=True)
class Cell:
    """A figure in a table of models by tasks."""

    value: float
    row: Mapping[str, Any] = field(default_factory=dict)
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
        return "" if "low" not in self.row else interval_text(dict(self.row)).split(" ", 1)[1]

    @property
    def is_below_floor(self) -> bool:
        """Say whether the best trivial answer on the same rows does as well."""
        floor = self.row.get("floor")
        return floor is not None and self.value <= floor


@dataclass(frozen=True)
class ScoreTable:
    """Models by tasks, in one setting."""

    setting: str
    title: str
    tasks: Sequence[str]
    runs: Mapping[str, Mapping[str, Cell]]
    floors: Mapping[str, Mapping[str, Cell]]
    """A row for each dataset that was asked."""
    quoted: Mapping[str, Mapping[str, Cell]]
    study: Mapping[str, Mapping[str, Cell]]

    @property
    def metrics(self) -> list[str]:
        """Return the metric of each task, with the model that it depends on."""
        return [_metric(task, self.runs.values()) for task in self.tasks]


@dataclass(frozen=True)
class Against:
    """The first run against another."""

    name: str
    differences: Sequence[Difference]
    paired: bool
    why_not: str = ""
    """Why they cannot be compared."""


@dataclass(frozen=True)
class Report:
    """All that the page shows."""

    title: str
    runs: Sequence[Run]
    tables: Sequence[ScoreTable]
    against: Sequence[Against]
    errors: Mapping[str, Sequence[Mapping[str, Any]]]
    """By the name of the run."""


def read_report(runs: Sequence[Run], title: str, seed: int) -> Report:
    """Gather what the runs show; a run that was not scored is scored. Each brings its cheap model, if it was scored.

    Raises ValueError where a run has neither scores nor what it takes to score it, and where nothing was scored.
    """
    found = [_scored(run, seed) for run in runs]
    found += [cheap for run in found if (cheap := run.cheap()) is not None]
    tables = [
        table for part in PARTS for domain in DOMAINS if (table := _table(found, f"{domain}_{part}")) is not None
    ]
    if not tables:
        raise ValueError("The runs have no scores: predict and evaluate first.")
    against = [_against(found[0], other, seed) for other in found[1:]]
    errors = {
        run.name: worst_errors(run.predictions, run.dataset, most=MOST_ERRORS, seed=seed, settings=SHOWN_IN_DEPTH)
        for run in found[: len(runs)]
        if run.predictions is not None and run.dataset is not None
    }
    return Report(title, found, tables, against, errors)


def write_report(report: Report, out: Path) -> None:
    """Write the page, whole or not at all."""
    _write(report_page(report), out)


def write_markdown(report: Report, out: Path) -> None:
    """Write the tables as Markdown, whole or not at all."""
    _write(report_markdown(report), out)


def report_page(report: Report) -> str:
    """Return the page; nothing in it depends on time or machine."""
    return render(
        "ecellm.evaluation",
        "report.html.j2",
        title=report.title,
        version=__version__,
        runs=report.runs,
        tables=[(table, _overview(table)) for table in report.tables],
        against=report.against,
        difference_text=difference_text,
        interval_text=interval_text,
        metric_text=metric_text,
        p_text=p_text,
        tasks=[_task_section(task, report) for task in TASKS if any(task in table.tasks for table in report.tables)],
        unscored=_unscored(report.runs),
        training=[(run.name, training_picture(log, run.name)) for run in report.runs if (log := run.log())],
        data=_data(report.runs),
        facts=[(run, read_run_facts(file)) for run in report.runs if (file := run.facts_file())],
        again=[(run.name, _again(run)) for run in report.runs],
        quoted_note=QUOTED,
        dash=NONE,  # `none` is a word of the template's own
    )


def report_markdown(report: Report) -> str:
    """Return the tables of scores and differences as Markdown."""
    parts = [f"# {report.title}"]
    for table in report.tables:
        lines = [[name, *(_text(cells.get(task)) for task in table.tasks)] for name, cells in table.runs.items()]
        lines += [[name, *(_text(cells.get(task)) for task in table.tasks)] for name, cells in table.floors.items()]
        lines += [
            [f"*{name}* (quoted)", *(_text(cells.get(task)) for task in table.tasks)]
            for name, cells in table.quoted.items()
        ]
        names = [f"{task}, {metric}" for task, metric in zip(table.tasks, table.metrics, strict=True)]
        parts += [f"## {table.title}", markdown_table(["model", *names], lines)]
    if any(table.quoted for table in report.tables):
        parts.append(QUOTED)
    for other in report.against:
        parts.append(f"## {report.runs[0].name} against {other.name}")
        lines = [
            [
                found.task,
                found.setting,
                found.metric,
                difference_text(found),
                p_text(found.adjusted),
                f"{found.detectable:.3f}",
                found.verdict,
            ]
            for found in other.differences
        ]
        names = ["task", "setting", "metric", "difference, 95 %", "p (Holm)", "detectable", "verdict"]
        parts.append(other.why_not or markdown_table(names, lines))
    return "\n\n".join(parts) + "\n"


def _scored(run: Run, seed: int) -> Run:
    if run.scores is not None:
        return run
    if run.predictions is None or run.dataset is None:
        raise ValueError(f"{run.path} has no scores: write them with `ecellm evaluate`.")
    return Run(
        run.name,
        run.path,
        evaluate(run.predictions, run.dataset, seed=seed),
        run.predictions,
        run.dataset,
        run.folder,
    )


def _table(runs: Sequence[Run], setting: str) -> ScoreTable | None:
    """Return the table of a setting, or None where no run was scored under it."""
    asked: dict[str, list[Run]] = {}
    for run in runs:
        if any(key[1] == setting for key in main_rows(run.rows())):
            asked.setdefault(run.dataset_hash() or f"of {run.name}", []).append(run)
    cells, floors = {}, {}
    for group in asked.values():
        rows = {run.name: _cells(run, setting) for run in group}
        # Only figures on the same rows are ranked.
        cells.update(_with_best(rows) if len(group) > 1 else rows)
        name = FLOOR if len(asked) == 1 else f"{FLOOR}, rows of {group[0].name}"
        floors[name] = _floors(rows.values())
    if not cells:
        return None
    present = [task for task in TASKS if any(task in row for row in cells.values())]
    domain, part = split_setting(setting)
    return ScoreTable(
        setting,
        DOMAIN_NAMES[domain] + PART_NAMES[part],
        present,
        {run.name: cells[run.name] for run in runs if run.name in cells},
        floors,
        _with_best(_quoted(quoted_rows(setting), present)),
        _quoted(study_rows(setting), present),
    )


def _cells(run: Run, setting: str) -> dict[str, Cell]:
    """Return a run's figures in a setting, by task."""
    published = main_rows(run.rows(), "published")
    return {
        task: Cell(row["value"], row, published[task, of]["value"] if (task, of) in published else None)
        for (task, of), row in main_rows(run.rows()).items()
        if of == setting
    }


def _floors(rows: Iterable[Mapping[str, Cell]]) -> dict[str, Cell]:
    """Return the first floor of each task: that of the run which comes first."""
    found: dict[str, Cell] = {}
    for task, row in ((task, cell.row) for cells in rows for task, cell in cells.items()):
        if row.get("floor") is not None:
            found.setdefault(task, Cell(row["floor"], note=str(row.get("floor_name", ""))))
    return found


def _quoted(rows: QuotedRows, tasks: Sequence[str]) -> dict[str, dict[str, Cell]]:
    def cell(task: str, quoted: Quoted) -> Cell:
        # It stands in a column that is headed by the runs' own scoring model.
        under = f"by {SCORER}" if isinstance(TASKS[task].answer, FreeText) else ""
        return Cell(quoted.value, note=f"{quoted.model}; failed answers: {quoted.failed}", under=under)

    shown = {name: {task: cell(task, cells[task]) for task in tasks if task in cells} for name, cells in rows.items()}
    return {name: cells for name, cells in shown.items() if cells}


def _with_best(rows: Mapping[str, Mapping[str, Cell]]) -> dict[str, dict[str, Cell]]:
    """Mark the best of each task; figures of different scoring models, or of more and fewer rows, are not ranked."""
    best: dict[str, float] = {}
    for task in {task for cells in rows.values() for task in cells}:
        there = [cells[task] for cells in rows.values() if task in cells]
        if len({(cell.row.get("model"), cell.row.get("n")) for cell in there}) == 1:
            best[task] = max(cell.value for cell in there)
    return {
        name: {task: replace(cell, best=best.get(task) == cell.value) for task, cell in cells.items()}
        for name, cells in rows.items()
    }


def _metric(task: str, rows: Iterable[Mapping[str, Cell]]) -> str:
    names = {metric_text(dict(cells[task].row)) for cells in rows if task in cells}
    return " or ".join(sorted(names)) or TASKS[task].metric


def _text(cell: Cell | None) -> str:
    if cell is None:
        return NONE
    said = f"{cell.value:.3f} {cell.low_high}".strip() + (" (below the floor)" if cell.is_below_floor else "")
    said += f" ({cell.under})" if cell.under else ""
    return f"**{said}**" if cell.best else said


def _against(first: Run, other: Run, seed: int) -> Against:
    try:
        differences, paired = compare_runs(other, first, seed)
    except ValueError as error:
        return Against(other.name, (), False, str(error))
    return Against(other.name, differences, paired)


def _overview(table: ScoreTable) -> Markup:
    # A score by another scoring model is not drawn on one scale with the paper's.
    other = {
        task
        for cells in table.runs.values()
        for task, cell in cells.items()
        if str(cell.row.get("model", SCORER)).rpartition("/")[2] != SCORER
    }
    quoted = [
        (task, cell.value) for cells in table.quoted.values() for task, cell in cells.items() if task not in other
    ]
    # Where the runs asked different rows, no floor is everyone's.
    floors = next(iter(table.floors.values())) if len(table.floors) == 1 else {}
    return overview_picture(
        table.title,
        table.tasks,
        {name: {task: cell.row for task, cell in cells.items()} for name, cells in table.runs.items()},
        {task: cell.value for task, cell in floors.items()},
        {task: max(value for of, value in quoted if of == task) for task in dict(quoted)},
    )


def _task_section(task: str, report: Report) -> dict[str, Any]:
    """Return what the page shows of one task."""
    rows, details = [], []
    for run in report.runs:
        strict, published = main_rows(run.rows()), main_rows(run.rows(), "published")
        for setting in SETTINGS:
            if (task, setting) in strict:
                rows.append((run.name, setting, strict[task, setting], published.get((task, setting))))
        details += [
            (run.name, found["setting"], found)
            for found in (run.scores or {}).get("details", [])
            if found["task"] == task and found["setting"] in SHOWN_IN_DEPTH
        ]
    others: list[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]] = []
    for run in report.runs:
        known = {(row["setting"], row["scoring"], row["metric"]): row for row in run.rows() if row["task"] == task}
        others += [
            (run.name, row, known.get((setting, "published", metric)))
            for (setting, scoring, metric), row in known.items()
            if scoring == "strict" and not row["main"] and setting in SHOWN_IN_DEPTH
        ]
    calibrated: dict[str, dict[str, Any]] = {}
    for name, setting, found in details:
        if "calibration" in found:
            domain = DOMAIN_NAMES[split_setting(setting)[0]].lower()
            calibrated.setdefault(name, {})[domain] = found["calibration"]
    return {
        "task": TASKS[task],
        "rows": rows,
        "others": others,
        "details": details,
        "calibrated": calibrated,
        "reliability": [reliability_picture(task, name, found) for name, found in calibrated.items()],
        "slices": [
            (run.name, row)
            for run in report.runs
            for row in (run.scores or {}).get("slices", [])
            if row["task"] == task and row["setting"] in SHOWN_IN_DEPTH
        ],
        "errors": [
            (
                name,
                setting,
                [_shown(error) for error in errors if (error["task"], error["setting"]) == (task, setting)],
            )
            for name, errors in report.errors.items()
            for setting in SHOWN_IN_DEPTH
            if any((error["task"], error["setting"]) == (task, setting) for error in errors)
        ],
    }


def _shown(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error with its long texts cut."""
    return {name: _cut(value) if isinstance(value, str) else value for name, value in error.items()}


def _cut(text: str) -> str:
    # A lone half of a surrogate pair cannot be written as UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + " ..."


def _unscored(runs: Sequence[Run]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (run.name, row)
        for run in runs
        for row in (run.scores or {}).get("not_scored", [])
        if row["reason"] != NO_PREDICTIONS
    ]


def _data(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the facts of each dataset that a run knows, once."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        manifest = run.manifest()
        digest = run.dataset_hash() or ""
        if not isinstance(manifest.get("counts"), dict) or digest in found:
            continue
        counts = manifest["counts"]
        found[digest] = {
            "hash": digest,
            "seed": manifest.get("seed"),
            "files": len(manifest.get("inputs", [])),
            "parts": COUNTS,
            "counts": [(task, counts[task]) for task in TASKS if task in counts],
            "dropped": _total(manifest.get("dropped", {})),
            "rejected": _total(manifest.get("rejected", {})),
            "reasons": [
                (where, why, count)
                for part in ("dropped", "rejected")
                for where, reasons in manifest.get(part, {}).items()
                for why, count in reasons.items()
            ],
            "config": json.dumps(manifest["config"], indent=1, ensure_ascii=False) if "config" in manifest else "",
        }
    return list(found.values())


def _total(reasons: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(counts.values()) for counts in reasons.values())


def _again(run: Run) -> dict[str, Any]:
    """Return what it takes to run it again, by name; long values are shown as they are."""
    facts, scores = run.model_facts(), run.scores or {}
    answers = run.answer_facts()
    small = {
        "dataset": run.dataset_hash(),
        "seed of the scores": scores.get("seed"),
        "draws": (scores.get("bootstrap") or {}).get("draws"),
        "scored by ecellm": scores.get("version"),
        "tuned on the dataset": facts.get("dataset"),
        **{f"version of {name}": version for name, version in (facts.get("versions") or {}).items()},
        **{f"answers: {name}": value for name, value in answers.items() if name != "dataset"},
        **_asking(run.asking_took()),
    }
    recipe = facts.get("recipe")
    rest = {name: value for name, value in facts.items() if name not in ("recipe", "versions", "dataset")}
    return {
        "facts": {name: value for name, value in small.items() if value is not None},
        "recipe": json.dumps(recipe, indent=1, ensure_ascii=False) if recipe else "",
        "rest": json.dumps(rest, indent=1, ensure_ascii=False) if rest else "",
    }


def _asking(took: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return how long asking took, with tokens and cost where a server counted them; by name."""
    if not took:
        return {}
    total = {name: sum(row.get(name) or 0 for row in took) for name in ("seconds", "answered", "read", "written")}
    found = {"time of asking": f"{total['answered']:,} answers in {total['seconds']:,.0f} s"}
    if len(took) > 1:
        found["time of asking"] += f", {len(took)} runs"
    if total["read"]:
        found["tokens"] = f"{total['read']:,} read, {total['written']:,} written"
    costs = [row["cost"] for row in took if row.get("cost") is not None]
    if costs:
        found["cost"] = f"{sum(costs):,.4f}" + (" of some runs" if len(costs) < len(took) else "")
    return found


def _write(text: str, out: Path) -> None:
    with whole_file(out) as beside:
        beside.write_text(text, encoding="utf-8", errors="replace")
