"""The scores of a model as its card has them."""

from ecellm.errors import ModelError
from ecellm.evaluation.runs import main_rows
from ecellm.evaluation.score_rows import Scores
from ecellm.reports.tables import TableColumn, TextTable
from ecellm.tasks import TASKS

COLUMNS = ("task", "setting", "metric", "value", "best trivial baseline", "rows")


def model_scores(scores: Scores) -> str:
    """Return the section of a model's card, in Markdown; raises ModelError for what is no SCORES.json."""
    try:
        rows = sorted(
            main_rows(scores["scores"]).values(), key=lambda row: (row["setting"], list(TASKS).index(row["task"]))
        )
        lines = [
            (
                row["task"],
                row["setting"],
                row["metric"],
                f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
                f"{row['floor']:.3f}",
                f"{row['n']:,}",
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("The scores are not those of `ecellm evaluate`: write them with it.") from error
    table = TextTable([TableColumn(name) for name in COLUMNS], lines)
    note = f"Strict scoring, 95 % bootstrap intervals, test rows of the dataset `{scores.get('dataset')}`."
    return f"## Scores\n\n{note}\n\n{table.markdown()}"
