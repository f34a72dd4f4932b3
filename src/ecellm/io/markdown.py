"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(names: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; vertical bars in cells are escaped."""
    rows = [names, ["---"] * len(names), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
