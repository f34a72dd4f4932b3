"""Tables of scores and differences: their cells once, and one writer each for Markdown, HTML and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

import rich.table
from markupsafe import Markup

from ecellm.evaluation.compare import Difference
from ecellm.evaluation.score_rows import ScoredValue, ScoreRow
from ecellm.io.markdown import markdown_table

#: Stands in a cell that has nothing to show.
NONE = "–"  # noqa: RUF001


@dataclass(frozen=True)
class TableColumn:
    """A column: its head, and how its cells are set."""

    name: str
    is_number: bool = False
    folds: bool = True
    """Whether a terminal may break its cells."""
    page_class: str = ""
    """Of its cells on a page."""

    @property
    def html_class(self) -> str:
        """Return the class of its cells on a page."""
        return self.page_class or "number" * self.is_number


@dataclass(frozen=True)
class TextTable:
    """A table of texts; the first column heads the rows."""

    columns: Sequence[TableColumn]
    rows: Sequence[Sequence[str | Markup]]
    styles: Sequence[str | None] = ()
    """Of each row on a terminal; none where there are no styles."""
    classes: Sequence[str] = ()
    """Of each row's last cell on a page."""

    def markdown(self) -> str:
        """Return the table in Markdown."""
        return markdown_table([column.name for column in self.columns], self.rows)

    def terminal(self, title: str, caption: str) -> rich.table.Table:
        """Return the table for a terminal."""
        made = rich.table.Table(title=title, title_justify="left", caption=caption)
        for column in self.columns:
            made.add_column(
                column.name,
                justify="right" if column.is_number else "left",
                no_wrap=column.is_number,
                overflow="fold" if column.folds else "ellipsis",
            )
        for place, row in enumerate(self.rows):
            made.add_row(*row, style=self.styles[place] if self.styles else None)
        return made

    def html(self) -> Markup:
        """Return the table for a page; texts are escaped, markup stays."""
        head = Markup("").join(
            Markup('<th scope="col"{}>{}</th>').format(_class("number" * column.is_number), column.name)
            for column in self.columns
        )
        lines = ['<div class="wide"><table>', Markup("<thead><tr>{}</tr></thead>").format(head), "<tbody>"]
        for place, row in enumerate(self.rows):
            classes = [column.html_class for column in self.columns]
            if self.classes:
                classes[-1] = self.classes[place]
            cells = Markup("").join(
                Markup("<td{}>{}</td>").format(_class(name), cell)
                for name, cell in zip(classes[1:], row[1:], strict=True)
            )
            lines.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(row[0], cells))
        return Markup("\n".join([*lines, "</tbody>", "</table></div>"]))


def _class(name: str) -> Markup:
    return Markup(' class="{}"').format(name) if name else Markup("")


def difference_cells(found: Difference) -> dict[str, str]:
    """Return the cells of a difference, by the name of their column."""
    return {
        "task": found.task,
        "setting": found.setting,
        "metric": found.metric,
        "before": f"{found.before:.3f}",
        "after": f"{found.after:.3f}",
        "difference, 95 %": difference_text(found),
        "p (Holm)": p_text(found.adjusted),
        "rows": f"{found.n:,}",
        "detectable": f"{found.detectable:.3f}",
        "verdict": found.verdict,
    }


def score_cells(row: ScoreRow, published: ScoreRow | None, percent: str = "%") -> dict[str, str]:
    """Return the cells of a strict score row, with the same answers by the published rules, by the name of their
    column; `percent` stands behind a share."""
    trivial, unparsed = row.get("floor"), row.get("unparsed", 0)
    return {
        "task": row["task"],
        "setting": row["setting"],
        "metric": metric_text(row),
        "strict": interval_text(row),
        "published": NONE if published is None else f"{published['value']:.3f}",
        "published rules": NONE if published is None else interval_text(published),
        "trivial baseline": NONE if trivial is None else f"{trivial:.3f}",
        "its rule": row.get("floor_name") or NONE,
        "rows": f"{row['n']:,}",
        "unparsed": f"{unparsed:,} ({100 * unparsed / row['n']:.1f}{percent})",
        "missing": f"{row.get('missing', 0):,}",
    }


def interval_text(row: ScoredValue | ScoreRow) -> str:
    """Return a score with its interval, as `figure_text`."""
    return figure_text(row["value"], row["low"], row["high"])


def figure_text(value: float, low: float, high: float) -> str:
    """Return "0.512 [0.481, 0.543]"."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def metric_text(row: ScoreRow) -> str:
    """Return the metric, with the model where one compared texts: its figures stand by themselves."""
    return f"{row['metric']} ({row['model'].rsplit('/', 1)[-1]})" if "model" in row else str(row["metric"])


def p_text(p: float) -> str:
    """Return "0.0312", or "<0.0001" for what would print as nought."""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def difference_text(found: Difference) -> str:
    """Return "+0.031 [+0.002, +0.060]"."""
    return f"{found.change:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
