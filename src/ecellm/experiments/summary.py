"""What a study found: its sides next to each other, with intervals, paired tests and a chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from markupsafe import Markup
from matplotlib.axes import Axes

from ecellm import __version__
from ecellm.data.dataset import split_setting
from ecellm.evaluation.compare import Difference, compare_runs
from ecellm.evaluation.runs import ScoredRun, main_rows, read_run
from ecellm.evaluation.score_rows import ScoredValue, ScoreRow
from ecellm.experiments.plans import Side
from ecellm.experiments.runner import Grid
from ecellm.io.files import write_text
from ecellm.io.markdown import markdown_table
from ecellm.reports.pages import render
from ecellm.reports.pages.charts import COLOURS, INK, picture
from ecellm.reports.report import read_report
from ecellm.reports.report_charts import overview_picture
from ecellm.reports.report_page import report_page
from ecellm.reports.tables import figure_text, metric_text
from ecellm.tasks import TASKS

NONE = "-"
ONE_SEED = "One seed: what another draw of order and dropout would change is not in the intervals."
AGREED = {frozenset({"better"}): "better", frozenset({"worse"}): "worse"}


@dataclass(frozen=True)
class SideScore:
    """One side's figures of a task under a setting, over the seeds."""

    metric: str
    values: tuple[float, ...]
    """By seed."""
    low: float
    high: float
    """With one seed the 95 % bootstrap interval over test rows; with several the least and the greatest value."""
    trivial: float
    """The best trivial baseline's value."""
    n: int
    verdict: str = ""
    """Against the first side: better or worse where every seed's paired test says so, else within noise."""

    @property
    def value(self) -> float:
        """Return the mean over seeds."""
        return mean(self.values)

    def text(self) -> str:
        """Return "0.512 [0.481, 0.543], better"."""
        verdict = f", {self.verdict}" if self.verdict else ""
        return figure_text(self.value, self.low, self.high) + verdict


#: By (task, setting), then by the side's name.
Table = Mapping[tuple[str, str], Mapping[str, SideScore]]


def summarise(grid: Grid, comparing_seed: int) -> None:
    """Write study.md and study.html (the comparison) and report.html (every run in full) into a finished study."""
    runs = {
        (side.name, seed): _run(grid, side, seed, len(grid.seeds) > 1)
        for seed in grid.seeds
        for side in grid.study.sides
    }
    verdicts = _verdicts(grid, runs, comparing_seed)
    table = _table(grid, runs, verdicts)
    write_text(_markdown(grid, table), grid.out / "study.md")
    write_text(_page(grid, table), grid.out / "study.html")
    report = read_report(list(runs.values()), grid.study.title, comparing_seed)
    write_text(report_page(report), grid.out / "report.html")


def _run(grid: Grid, side: Side, seed: int, several: bool) -> ScoredRun:
    name = f"{side.name}, seed {seed}" if several else side.name
    return read_run(f"{name}={grid.side_folder(side, seed)}", grid.dataset)


def _verdicts(
    grid: Grid, runs: Mapping[tuple[str, int], ScoredRun], comparing_seed: int
) -> dict[tuple[str, str, str], str]:
    """Return the verdict by (side, task, setting), for all sides but the first."""
    first, *others = grid.study.sides
    differences_of: dict[tuple[str, str, str], list[Difference]] = {}
    for side in others:
        for seed in grid.seeds:
            differences, _ = compare_runs(runs[first.name, seed], runs[side.name, seed], comparing_seed)
            for found in differences:
                differences_of.setdefault((side.name, found.task, found.setting), []).append(found)
    return {
        place: AGREED.get(frozenset(found.verdict for found in differences), "within noise")
        for place, differences in differences_of.items()
    }


def _table(
    grid: Grid, runs: Mapping[tuple[str, int], ScoredRun], verdicts: Mapping[tuple[str, str, str], str]
) -> dict[tuple[str, str], dict[str, SideScore]]:
    rows = {key: main_rows(run.rows()) for key, run in runs.items()}
    places = sorted(
        {place for found in rows.values() for place in found},
        key=lambda place: (_order(grid, place[1]), list(TASKS).index(place[0])),
    )
    table: dict[tuple[str, str], dict[str, SideScore]] = {}
    for place in places:
        for side in grid.study.sides:
            of_seeds = [rows[side.name, seed][place] for seed in grid.seeds if place in rows[side.name, seed]]
            if of_seeds:
                verdict = verdicts.get((side.name, *place), "")
                table.setdefault(place, {})[side.name] = _found(of_seeds, verdict)
    return table


def _order(grid: Grid, setting: str) -> tuple[str, int]:
    domain, part = split_setting(setting)
    return domain, grid.study.asked.index(part)


def _found(rows: Sequence[ScoreRow], verdict: str) -> SideScore:
    values = tuple(float(row["value"]) for row in rows)
    trivial = rows[0]["floor"]
    assert trivial is not None  # every main metric has one
    low, high = (rows[0]["low"], rows[0]["high"]) if len(rows) == 1 else (min(values), max(values))
    return SideScore(metric_text(rows[0]), values, low, high, trivial, rows[0]["n"], verdict)


def _notes(grid: Grid) -> list[str]:
    """Return notes on what the figures are."""
    first = grid.study.sides[0].name
    spread = (
        "with their 95 % bootstrap intervals over test rows"
        if len(grid.seeds) == 1
        else f"means over {len(grid.seeds)} seeds, with the least and the greatest"
    )
    return [
        f"Main metrics, strict scoring, {spread}. Better and worse are against “{first}”, by paired tests on the "
        "same test rows with Holm's correction over all tasks and settings"
        + (", where every seed's test says so." if len(grid.seeds) > 1 else "."),
        *(
            ["One seed: what another draw of order and dropout would change is not in the intervals."]
            * (len(grid.seeds) == 1)
        ),
        f"Dataset {grid.dataset.hash()[:16]}, seeds {', '.join(map(str, grid.seeds))}, ecellm {__version__}."
        + (f" Changed in the recipes: {', '.join(grid.changes)}." if grid.changes else ""),
    ]


def _markdown(grid: Grid, table: Table) -> str:
    names = [side.name for side in grid.study.sides]
    heads = ["task", "setting", "metric", "rows", "best trivial baseline", *names]
    table_text = markdown_table(heads, _lines(table, names))
    return "\n\n".join([f"# {grid.study.title}", *_notes(grid), table_text]) + "\n"


def _lines(table: Table, names: Sequence[str]) -> list[list[str]]:
    lines = []
    for (task, setting), sides in table.items():
        one = next(iter(sides.values()))
        cells = [sides[name].text() if name in sides else NONE for name in names]
        lines.append([task, setting, one.metric, f"{one.n:,}", f"{one.trivial:.3f}", *cells])
    return lines


def _page(grid: Grid, table: Table) -> str:
    settings = list(dict.fromkeys(setting for _, setting in table))
    draw = _size_chart if grid.study.sides[0].size is not None else _side_chart
    return render(
        "ecellm.experiments",
        "study.html.j2",
        title=grid.study.title,
        notes=_notes(grid),
        names=[side.name for side in grid.study.sides],
        parts=[
            (setting, draw(grid, setting, table), {task: row for (task, of), row in table.items() if of == setting})
            for setting in settings
        ],
        commands=[command for arm, seed in grid.arms() for command in grid.commands(arm, seed)],
        dash=NONE,  # `none` is a word of the template's own
    )


def _side_chart(grid: Grid, setting: str, table: Table) -> Markup:
    """Draw the sides' values of each task with their intervals."""
    rows = {task: sides for (task, of), sides in table.items() if of == setting}
    runs = {
        side.name: {
            task: ScoredValue(value=sides[side.name].value, low=sides[side.name].low, high=sides[side.name].high)
            for task, sides in rows.items()
            if side.name in sides
        }
        for side in grid.study.sides
    }
    trivial = {task: next(iter(sides.values())).trivial for task, sides in rows.items()}
    return overview_picture(setting, list(rows), runs, trivial, {})


def _size_chart(grid: Grid, setting: str, table: Table) -> Markup:
    """Draw each task's value by the number of training rows."""
    sizes = {side.name: side.size or 0 for side in grid.study.sides}
    rows = {task: sides for (task, of), sides in table.items() if of == setting}

    def paint(axes: Axes) -> None:
        for number, (task, sides) in enumerate(rows.items()):
            points = sorted((sizes[name], found) for name, found in sides.items())
            colour = COLOURS[number % len(COLOURS)]
            style = "-" if number < len(COLOURS) else "--"
            at = [size for size, _ in points]
            axes.plot(at, [found.value for _, found in points], f"o{style}", color=colour, markersize=4, label=task)
            axes.fill_between(
                at, [found.low for _, found in points], [found.high for _, found in points], color=colour, alpha=0.1
            )
        axes.set_xscale("log")
        shown = sorted(sizes.values())
        axes.set_xticks(shown, [f"{size:,}" for size in shown])
        axes.minorticks_off()
        axes.set_xlabel("training rows")
        axes.set_ylim(0, 1.02)
        axes.grid(axis="y", color=INK, alpha=0.1)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return picture(f"{setting}: each task's score by the number of training rows.", 3.6, paint)
