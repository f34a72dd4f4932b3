"""What README shows to be typed."""

import re

from repository import REPOSITORY


def first_screen(language: str) -> list[str]:
    """Return the lines of README's fenced blocks in a language, before its first heading of a section."""
    screen = (REPOSITORY / "README.md").read_text().partition("\n## ")[0]
    blocks = re.findall(rf"```{language}\n(.*?)```", screen, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]
