"""The report as a page: self-contained HTML that fetches nothing, runs nothing, follows light and dark and prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ecellm import __version__
from ecellm.data.dataset import split_setting
from ecellm.data.manifest import PARTS
from ecellm.evaluation.compare import Difference
from ecellm.evaluation.evaluate import NO_PREDICTIONS
from ecellm.evaluation.published_scores import SCORER
from ecellm.evaluation.runs import ScoredRun, main_rows
from ecellm.evaluation.score_rows import NotScored, ScoreRow
from ecellm.inference.usage import UsageLine
from ecellm.reports.pages import render
from ecellm.reports.report import QUOTED, SHOWN_IN_DEPTH, Report
from ecellm.reports.report_charts import Calibrations, overview_picture, reliability_picture, training_picture
from ecellm.reports.results_page import read_run_facts
from ecellm.reports.score_grid import DOMAIN_NAMES, ScoreGrid
from ecellm.reports.tables import NONE, TableColumn, TextTable, difference_cells, score_cells
from ecellm.tasks import TASKS, Task
from ecellm.types import SETTINGS

#: Of one text on the page, so much is shown.
LONGEST_TEXT = 1_200
SCORE_COLUMNS = ("strict", "published rules", "trivial baseline", "its rule", "rows", "unparsed", "missing")
DIFFERENCE_COLUMNS = ("difference, 95 %", "p (Holm)", "rows", "detectable", "verdict")
RULE = TableColumn("its rule", page_class="short")
VERDICT_CLASSES = {"better": "good short", "worse": "bad short"}


#: A run's name, a strict row of its scores, and the same metric by the published rules.
ComparedRow = tuple[str, ScoreRow, ScoreRow | None]
#: A run's name, a setting, and what stands behind the figures there (`evaluation.details`).
Detail = tuple[str, str, Mapping[str, object]]


@dataclass(frozen=True)
class TaskSection:
    """What the page shows of one task."""

    task: Task
    scores: Markup
    others: Markup | None
    details: Sequence[Detail]
    calibrated: Mapping[str, Calibrations]
    """By run."""
    reliability: Sequence[Markup]
    slices: Markup | None
    errors: Sequence[tuple[str, str, Sequence[Mapping[str, object]]]]
    """By run and setting."""


@dataclass(frozen=True)
class DataFacts:
    """What the page shows of one dataset."""

    hash: str
    seed: int | None
    files: int
    counts: Sequence[tuple[str, Mapping[str, int]]]
    """Rows by task and part."""
    dropped: int
    rejected: int
    reasons: Sequence[tuple[str, str, int]]
    """Rows by task or file, and by reason."""
    config: str
    """As JSON."""


@dataclass(frozen=True)
class Reproduction:
    """What reproducing a run takes."""

    facts: Mapping[str, object]
    recipe: str
    """As JSON, as is the rest."""
    rest: str


def report_page(report: Report) -> str:
    """Return the page; nothing in it depends on time or machine."""
    return render(
        "ecellm.reports",
        "report.html.j2",
        title=report.title,
        version=__version__,
        runs=report.runs,
        tables=[(table, _overview(table)) for table in report.tables],
        against=[(other, _difference_table(other.differences)) for other in report.against],
        tasks=[_task_section(task, report) for task in TASKS if any(task in table.tasks for table in report.tables)],
        unscored=_unscored(report.runs),
        training=[(run.name, training_picture(log, run.name)) for run in report.runs if (log := run.log())],
        data=_data(report.runs),
        parts=PARTS,
        facts=[(run, read_run_facts(file)) for run in report.runs if (file := run.facts_file())],
        again=[(run.name, _reproduction(run)) for run in report.runs],
        quoted_note=QUOTED,
        dash=NONE,  # `none` is a word of the template's own
    )


def _difference_table(differences: Sequence[Difference]) -> Markup:
    names = ("task", "setting", "metric", *DIFFERENCE_COLUMNS)
    cells = [difference_cells(found) for found in differences]
    rows = [[_setting(one[name]) if name == "setting" else one[name] for name in names] for one in cells]
    columns = [TableColumn(name, is_number=name in DIFFERENCE_COLUMNS[:-1]) for name in names]
    classes = [VERDICT_CLASSES.get(found.verdict, "dim short") for found in differences]
    return TextTable(columns, rows, classes=classes).html()


def _setting(name: str) -> Markup:
    """Return a setting's name, which may break behind its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


def _columns(first: Sequence[str], more: Sequence[str]) -> list[TableColumn]:
    texts = [TableColumn(name) for name in first]
    return [*texts, *(RULE if name == RULE.name else TableColumn(name, is_number=True) for name in more)]


def _overview(table: ScoreGrid) -> Markup:
    # A score by another scoring model is not drawn on one scale with the paper's.
    other = {
        task
        for cells in table.runs.values()
        for task, cell in cells.items()
        if cell.row is not None and cell.row.get("model", SCORER).rpartition("/")[2] != SCORER
    }
    quoted = [
        (task, cell.value) for cells in table.quoted.values() for task, cell in cells.items() if task not in other
    ]
    # Where the runs have different rows, no trivial baseline holds for all.
    trivial = next(iter(table.trivial.values())) if len(table.trivial) == 1 else {}
    return overview_picture(
        table.title,
        table.tasks,
        {
            name: {task: row for task, cell in cells.items() if (row := cell.row)}
            for name, cells in table.runs.items()
        },
        {task: cell.value for task, cell in trivial.items()},
        {task: max(value for of, value in quoted if of == task) for task in dict(quoted)},
    )


def _task_section(task: str, report: Report) -> TaskSection:
    """Return what the page shows of one task."""
    rows: list[ComparedRow] = []
    details: list[Detail] = []
    for run in report.runs:
        strict, published = main_rows(run.rows()), main_rows(run.rows(), "published")
        for setting in SETTINGS:
            if (task, setting) in strict:
                rows.append((run.name, strict[task, setting], published.get((task, setting))))
        details += [
            (run.name, found["setting"], found)
            for found in (run.scores.get("details", []) if run.scores else [])
            if found["task"] == task and found["setting"] in SHOWN_IN_DEPTH
        ]
    others: list[ComparedRow] = []
    for run in report.runs:
        known = {(row["setting"], row["scoring"], row["metric"]): row for row in run.rows() if row["task"] == task}
        others += [
            (run.name, row, known.get((setting, "published", metric)))
            for (setting, scoring, metric), row in known.items()
            if scoring == "strict" and not row["main"] and setting in SHOWN_IN_DEPTH
        ]
    calibrated: dict[str, Calibrations] = {}
    for name, setting, found in details:
        calibration = found.get("calibration")
        if isinstance(calibration, dict):
            domain = DOMAIN_NAMES[split_setting(setting)[0]].lower()
            calibrated[name] = {**calibrated.get(name, {}), domain: calibration}
    return TaskSection(
        TASKS[task],
        _scores_html(rows),
        _others_html(others),
        details,
        calibrated,
        [reliability_picture(task, name, found) for name, found in calibrated.items()],
        _slices_html(task, report.runs),
        [
            (name, setting, shown)
            for name, errors in report.errors.items()
            for setting in SHOWN_IN_DEPTH
            if (shown := [_shown(error) for error in errors if (error["task"], error["setting"]) == (task, setting)])
        ],
    )


def _scores_html(rows: Sequence[ComparedRow]) -> Markup:
    cells = [(name, score_cells(row, published, percent=" %")) for name, row, published in rows]
    texts = [
        [name, _setting(one["setting"]), one["metric"], *(one[column] for column in SCORE_COLUMNS)]
        for name, one in cells
    ]
    return TextTable(_columns(("run", "setting", "metric"), SCORE_COLUMNS), texts).html()


def _others_html(rows: Sequence[ComparedRow]) -> Markup | None:
    """Return the table of metrics beside the main one, or None where there is none."""
    cells = [(name, score_cells(row, published)) for name, row, published in rows]
    names = ("strict", "published rules")
    texts = [
        [name, _setting(one["setting"]), one["metric"], *(one[column] for column in names)] for name, one in cells
    ]
    return TextTable(_columns(("run", "setting", "metric"), names), texts).html() if texts else None


def _slices_html(task: str, runs: Sequence[ScoredRun]) -> Markup | None:
    """Return the table of the scores of parts of the rows, or None where there is none."""
    found = [
        (run.name, row, score_cells(row, None))
        for run in runs
        for row in (run.scores.get("slices", []) if run.scores else [])
        if row["task"] == task and row["setting"] in SHOWN_IN_DEPTH
    ]
    names = ("strict", "trivial baseline", "rows")
    texts = [
        [name, _setting(row["setting"]), row["by"], row["slice"], one["metric"], *(one[column] for column in names)]
        for name, row, one in found
    ]
    return TextTable(_columns(("run", "setting", "by", "part", "metric"), names), texts).html() if texts else None


def _shown(error: Mapping[str, object]) -> dict[str, object]:
    """Return an error with its long texts truncated."""
    return {name: _truncated(value) if isinstance(value, str) else value for name, value in error.items()}


def _truncated(text: str) -> str:
    # A lone half of a surrogate pair cannot be written as UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + " ..."


def _unscored(runs: Sequence[ScoredRun]) -> list[tuple[str, NotScored]]:
    return [
        (run.name, row)
        for run in runs
        for row in (run.scores.get("not_scored", []) if run.scores else [])
        if row["reason"] != NO_PREDICTIONS
    ]


def _data(runs: Sequence[ScoredRun]) -> list[DataFacts]:
    """Return the facts of each dataset that a run knows, once."""
    found: dict[str, DataFacts] = {}
    for run in runs:
        manifest = run.manifest()
        digest = run.dataset_hash() or ""
        if not isinstance(manifest.get("counts"), dict) or digest in found:
            continue
        counts = manifest["counts"]
        dropped, rejected = manifest.get("dropped", {}), manifest.get("rejected", {})
        found[digest] = DataFacts(
            digest,
            manifest.get("seed"),
            len(manifest.get("inputs", [])),
            [(task, counts[task]) for task in TASKS if task in counts],
            _total(dropped),
            _total(rejected),
            [
                (where, why, count)
                for part in (dropped, rejected)
                for where, reasons in part.items()
                for why, count in reasons.items()
            ],
            json.dumps(manifest["config"], indent=1, ensure_ascii=False) if "config" in manifest else "",
        )
    return list(found.values())


def _total(reasons: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(counts.values()) for counts in reasons.values())


def _reproduction(run: ScoredRun) -> Reproduction:
    """Return what reproducing the run takes, by name."""
    facts, scores = run.model_facts(), run.scores
    answers = run.answer_facts()
    small = {
        "dataset": run.dataset_hash(),
        "seed of the scores": scores.get("seed") if scores else None,
        "draws": scores.get("bootstrap", {}).get("draws") if scores else None,
        "scored by ecellm": scores.get("version") if scores else None,
        "tuned on the dataset": facts.get("dataset"),
        **{f"version of {name}": version for name, version in (facts.get("versions") or {}).items()},
        **{f"answers: {name}": value for name, value in answers.items() if name != "dataset"},
        **_usage(run.usage_lines()),
    }
    recipe = facts.get("recipe")
    rest = {name: value for name, value in facts.items() if name not in ("recipe", "versions", "dataset")}
    return Reproduction(
        {name: value for name, value in small.items() if value is not None},
        json.dumps(recipe, indent=1, ensure_ascii=False) if recipe else "",
        json.dumps(rest, indent=1, ensure_ascii=False) if rest else "",
    )


def _usage(took: Sequence[UsageLine]) -> dict[str, str]:
    """Return how long prediction took, with tokens and cost where a server counted them; by name."""
    if not took:
        return {}
    answered, seconds = sum(row["answered"] for row in took), sum(row["seconds"] for row in took)
    read, written = sum(row.get("read", 0) for row in took), sum(row.get("written", 0) for row in took)
    found = {"prediction time": f"{answered:,} answers in {seconds:,.0f} s"}
    if len(took) > 1:
        found["prediction time"] += f", {len(took)} runs"
    if read:
        found["tokens"] = f"{read:,} read, {written:,} written"
    costs = [cost for row in took if (cost := row.get("cost")) is not None]
    if costs:
        found["cost"] = f"{sum(costs):,.4f}" + (" of some runs" if len(costs) < len(took) else "")
    return found
