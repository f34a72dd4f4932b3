"""How pairs are found and chosen. It imports nothing, so that the command line may name the choices."""

from dataclasses import dataclass
from enum import StrEnum


class Search(StrEnum):
    """How candidates are found."""

    BOTH = "both"
    """By words and by embeddings."""
    LEXICAL = "lexical"
    """By words alone."""


class Mode(StrEnum):
    """How many partners a record may have."""

    ONE_TO_ONE = "one-to-one"
    """One each: the likeliest pairs first."""
    ONE_TO_MANY = "one-to-many"
    """A record of the left catalogue may have several, one of the right has the likeliest."""
    MANY_TO_MANY = "many-to-many"
    """All pairs."""


@dataclass(frozen=True)
class LinkOptions:
    """How pairs are found and chosen."""

    k: int = 10
    """Candidates of each left record."""
    search: Search = Search.BOTH
    mode: Mode = Mode.ONE_TO_ONE
    threshold: float = 0.5
    """The lowest probability of a chosen pair."""
    target_precision: float | None = None
    """Instead of the threshold: what the chosen pairs should have on the true ones."""
