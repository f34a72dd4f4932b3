"""Scores and differences on the terminal."""

from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ecellm.data.dataset import split_setting
from ecellm.evaluation.compare import Difference
from ecellm.evaluation.evaluate import NO_PREDICTIONS
from ecellm.evaluation.runs import main_rows
from ecellm.evaluation.score_rows import ScoreRow, Scores
from ecellm.reports.tables import TableColumn, TextTable, difference_cells, interval_text, metric_text, score_cells
from ecellm.types import DIVERSE, UNSEEN

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
    "The answers are missing, so the intervals were compared as if of different rows, which is less sensitive; "
    "p-values are Holm's over all lines. " + DETECTABLE
)
NOT_ABOVE_TRIVIAL = "A dim row is not above the best trivial baseline on the same rows."

SCORES_TITLE = "Scores by the strict rules, 95 % bootstrap interval"
SCORE_COLUMNS = (
    TableColumn("task", folds=False),
    TableColumn("setting"),
    TableColumn("metric"),
    *(TableColumn(name, is_number=True, folds=False) for name in ("strict", "trivial baseline")),
    TableColumn("its rule", folds=False),
    *(TableColumn(name, is_number=True, folds=False) for name in ("published", "rows", "unparsed", "missing")),
)


def score_table(scores: Sequence[ScoreRow]) -> Table:
    """Return the table: strict value and interval, trivial baseline, published value, unparsed and missing rows."""
    published = main_rows(scores, "published")
    cells = [score_cells(row, published[place]) for place, row in main_rows(scores).items()]
    made = TextTable(
        SCORE_COLUMNS,
        [[found[column.name] for column in SCORE_COLUMNS] for found in cells],
        [_style(row) for row in main_rows(scores).values()],
    )
    return made.terminal(SCORES_TITLE, NOT_ABOVE_TRIVIAL)


def _style(row: ScoreRow) -> str | None:
    trivial = row["floor"]
    return None if trivial is None or row["value"] > trivial else "dim"


def print_scores(scores: Scores) -> None:
    """Print the table, and one line for each task and setting that cannot be scored."""
    console = _console()
    console.print(score_table(scores["scores"]))
    for found in scores["details"]:
        if found["unparsed_texts"]:
            shown = found["unparsed_texts"][:MOST_UNPARSED]
            texts = ", ".join(f"{text['text'][:LONGEST_UNPARSED]!r} ({text['rows']:,})" for text in shown)
            console.print(f"Most common unparsed: {found['task']} {found['setting']}: {texts}.", markup=False)
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


def print_comparison(scores: Scores, tfidf: Scores) -> None:
    """Print the model's strict scores beside those of the TF-IDF baseline and the best trivial baseline."""
    unseen = {
        (task, setting.replace(UNSEEN, DIVERSE)): row
        for (task, setting), row in main_rows(scores["scores"]).items()
        if setting.endswith(UNSEEN)
    }
    beside = main_rows(tfidf["scores"])
    rows: list[list[str]] = []
    styles = []
    for place, row in main_rows(scores["scores"]).items():
        domain, part = split_setting(place[1])
        if part != DIVERSE:
            continue
        shown = [interval_text(other[place]) if place in other else "" for other in ({place: row}, unseen, beside)]
        trivial = score_cells(row, None)
        rows.append([place[0], domain, metric_text(row), *shown, trivial["trivial baseline"], trivial["its rule"]])
        styles.append(_style(row))
    columns = [
        *(TableColumn(name, folds=False) for name in ("task", "domain", "metric")),
        *(
            TableColumn(name, is_number=True, folds=False)
            for name in ("XS", "unseen instruction", "TF-IDF baseline", "trivial baseline")
        ),
        TableColumn("its rule", folds=False),
    ]
    _console().print(TextTable(columns, rows, styles).terminal(SCORES_TITLE, NOT_ABOVE_TRIVIAL))


def print_differences(differences: Sequence[Difference], before: str, after: str, paired: bool) -> None:
    """Print what differs between two runs, and what could have been noticed at all."""
    styles = {"better": "green", "worse": "bold red", "within noise": "dim"}
    numbers = {"before": before, "after": after}
    names = ("before", "after", "difference, 95 %", "p (Holm)", "rows", "detectable")
    columns = [
        *(TableColumn(name) for name in ("task", "setting", "metric")),
        *(TableColumn(numbers.get(name, name), is_number=True, folds=False) for name in names),
        TableColumn("verdict", folds=False),
    ]
    table = TextTable(
        columns,
        [list(difference_cells(found).values()) for found in differences],
        [styles[found.verdict] for found in differences],
    )
    console = _console()
    console.print(table.terminal(f"{before} and {after}", PAIRED if paired else UNPAIRED))
    left_out = sum(found.left_out for found in differences)
    if left_out:
        console.print(f"{left_out:,} answers were omitted: only one of the two answered their rows.", markup=False)
