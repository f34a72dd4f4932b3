"""From a sample to the text and tokens a model sees, within a token budget.

One function, used in tuning, prediction and serving, so a model is always asked the way it was tuned.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mark:
    """Where a marked piece stands in the prompt's tokens: ids[start:end]."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt."""

    text: str
    ids: list[int]
    marks: tuple[Mark, ...] = ()
    cut: dict[str, int] = field(default_factory=dict)
    """What was cut to fit, such as {"pieces dropped": 3, "tokens cut": 41, "one-shot left out": 1}."""
