"""The report's tables as Markdown."""

from ecellm.reports.report import QUOTED, Report
from ecellm.reports.score_grid import Cell
from ecellm.reports.tables import NONE, TableColumn, TextTable, difference_cells

DIFFERENCE_COLUMNS = ("task", "setting", "metric", "difference, 95 %", "p (Holm)", "detectable", "verdict")


def report_markdown(report: Report) -> str:
    """Return the tables of scores and differences as Markdown."""
    parts = [f"# {report.title}"]
    for grid in report.tables:
        names = [f"{task}, {metric}" for task, metric in zip(grid.tasks, grid.metrics, strict=True)]
        lines = {**grid.runs, **grid.trivial, **{f"*{name}* (quoted)": cells for name, cells in grid.quoted.items()}}
        rows = [[name, *(_text(cells.get(task)) for task in grid.tasks)] for name, cells in lines.items()]
        table = TextTable([TableColumn("model"), *(TableColumn(name, is_number=True) for name in names)], rows)
        parts += [f"## {grid.title}", table.markdown()]
    if any(grid.quoted for grid in report.tables):
        parts.append(QUOTED)
    for other in report.against:
        parts.append(f"## {report.runs[0].name} against {other.name}")
        cells = [difference_cells(found) for found in other.differences]
        rows = [[one[name] for name in DIFFERENCE_COLUMNS] for one in cells]
        parts.append(other.why_not or TextTable([TableColumn(name) for name in DIFFERENCE_COLUMNS], rows).markdown())
    return "\n\n".join(parts) + "\n"


def _text(cell: Cell | None) -> str:
    if cell is None:
        return NONE
    text = f"{cell.value:.3f} {cell.low_high}".strip()
    text += " (not above the trivial baseline)" if cell.is_not_above_trivial else ""
    text += f" ({cell.under})" if cell.under else ""
    return f"**{text}**" if cell.best else text
