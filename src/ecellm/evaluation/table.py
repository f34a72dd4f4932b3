"""The scores as a table that a person can read: the main metric of each task under each setting."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ecellm.dataset.dataset import split_setting
from ecellm.evaluation.compare import Difference
from ecellm.evaluation.evaluate import NO_PREDICTIONS
from ecellm.evaluation.runs import main_rows
from ecellm.records import DIVERSE, UNSEEN

#: Columns of a page that is not a terminal.
PAGE_WIDTH = 160
#: Unparsed texts that are shown for a task and setting, and how much of each.
MOST_UNPARSED, LONGEST_UNPARSED = 3, 60
DETECTABLE = "Detectable: the smallest true difference that these rows would show four times in five, uncorrected."
PAIRED = (
    "Tested on the same rows, answer by answer, by approximate randomisation; p-values are Holm's over all lines. "
    + DETECTABLE
)
UNPAIRED = (
    "The answers are not at hand, so the intervals were compared as if of different rows, which notices less; "
    "p-values are Holm's over all lines. " + DETECTABLE
)
BELOW_FLOOR = "A dim row does not pass its floor, the best trivial answer on the same rows."


def interval_text(row: dict[str, Any]) -> str:
    """Return "0.512 [0.481, 0.543]"."""
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def metric_text(row: dict[str, Any]) -> str:
    """Return the metric, with the model where one compared texts: its figures stand by themselves."""
    return f"{row['metric']} ({row['model'].rsplit('/', 1)[-1]})" if "model" in row else str(row["metric"])


def score_table(scores: Sequence[dict[str, Any]]) -> Table:
    """Return the table: strict value with its interval, floor, published value, unparsed and missing rows."""
    table = Table(title="Scores by the strict rules, 95 % bootstrap interval", title_justify="left")
    table.add_column("task")
    table.add_column("setting", overflow="fold")
    table.add_column("metric", overflow="fold")
    for name in ("strict", "floor"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("floor is")
    for name in ("published", "rows", "unparsed", "missing"):
        table.add_column(name, justify="right", no_wrap=True)
    published = main_rows(scores, "published")
    for (task, setting), row in main_rows(scores).items():
        above = row["value"] > row["floor"]
        table.add_row(
            task,
            setting,
            metric_text(row),
            interval_text(row),
            f"{row['floor']:.3f}",
            row["floor_name"],
            f"{published[task, setting]['value']:.3f}",
            f"{row['n']:,}",
            f"{row['unparsed']:,} ({row['unparsed'] / row['n']:.1%})",
            f"{row['missing']:,}",
            style=None if above else "dim",
        )
    table.caption = BELOW_FLOOR
    return table


def print_scores(scores: dict[str, Any]) -> None:
    """Print the table, and one line for each task and setting that was answered but cannot be scored."""
    console = _console()
    console.print(score_table(scores["scores"]))
    for found in scores["details"]:
        if found["unparsed_texts"]:
            shown = found["unparsed_texts"][:MOST_UNPARSED]
            texts = ", ".join(f"{text['text'][:LONGEST_UNPARSED]!r} ({text['rows']:,})" for text in shown)
            console.print(f"Commonest unparsed: {found['task']} {found['setting']}: {texts}.", markup=False)
    for row in scores["not_scored"]:
        if row["reason"] != NO_PREDICTIONS:
            console.print(f"Not scored: {row['task']} {row['setting']}: {row['reason']}", markup=False)
    silent: dict[str, list[str]] = defaultdict(list)
    for row in scores["not_scored"]:
        if row["reason"] == NO_PREDICTIONS:
            silent[row["setting"]].append(row["task"])
    for setting, tasks in silent.items():
        console.print(f"Without predictions: {setting}: {', '.join(tasks)}.", markup=False)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PAGE_WIDTH)


def print_comparison(scores: dict[str, Any], cheap: dict[str, Any]) -> None:
    """Print the model's scores beside those of the cheap model and the floor, by the strict rules."""
    unseen = {
        (task, setting.replace(UNSEEN, DIVERSE)): row
        for (task, setting), row in main_rows(scores["scores"]).items()
        if setting.endswith(UNSEEN)
    }
    beside = main_rows(cheap["scores"])
    table = Table(title="Scores by the strict rules, 95 % bootstrap interval", title_justify="left")
    for name in ("task", "domain", "metric"):
        table.add_column(name)
    for name in ("XS", "unseen instruction", "cheap model", "floor"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("floor is")
    for place, row in main_rows(scores["scores"]).items():
        domain, part = split_setting(place[1])
        if part != DIVERSE:
            continue
        shown = [interval_text(other[place]) if place in other else "" for other in ({place: row}, unseen, beside)]
        style = None if row["value"] > row["floor"] else "dim"
        floor = f"{row['floor']:.3f}"
        table.add_row(place[0], domain, metric_text(row), *shown, floor, row["floor_name"], style=style)
    table.caption = BELOW_FLOOR
    _console().print(table)


def print_differences(differences: Sequence[Difference], before: str, after: str, paired: bool) -> None:
    """Print what differs between two runs, and what could have been noticed at all."""
    table = Table(title=f"{before} and {after}", title_justify="left")
    for name in ("task", "setting", "metric"):
        table.add_column(name, overflow="fold")
    for name in (before, after, "difference, 95 %", "p (Holm)", "rows", "detectable"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    styles = {"better": "green", "worse": "bold red", "within noise": "dim"}
    for found in differences:
        table.add_row(
            found.task,
            found.setting,
            found.metric,
            f"{found.before:.3f}",
            f"{found.after:.3f}",
            difference_text(found),
            p_text(found.adjusted),
            f"{found.n:,}",
            f"{found.detectable:.3f}",
            found.verdict,
            style=styles[found.verdict],
        )
    table.caption = PAIRED if paired else UNPAIRED
    console = _console()
    console.print(table)
    left_out = sum(found.left_out for found in differences)
    if left_out:
        console.print(f"{left_out:,} answers were left out: only one of the two answered their rows.", markup=False)


def p_text(p: float) -> str:
    """Return "0.0312", or "<0.0001" for what would print as nought."""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def difference_text(found: Difference) -> str:
    """Return "+0.031 [+0.002, +0.060]"."""
    return f"{found.change:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
