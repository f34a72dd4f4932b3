"""The texts of an example that models compare, as its task gives them."""

from collections.abc import Sequence

from ecellm.tasks import TASKS
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example


def text_pairs(example: Example) -> Sequence[TextPair]:
    """Return the pair of texts for each item of a list; of examples without a list, one pair."""
    return TASKS[example.task].compared(example)


def text_pair(example: Example) -> TextPair:
    """Return the texts that an example compares; one of plain text has a left text only."""
    return text_pairs(example)[0]


def weighted_pair(example: Example) -> TextPair:
    """Return the same for a model that counts words."""
    return text_pair(example).weighted()


def segments(example: Example) -> tuple[str, ...]:
    """Return what is worth reading by itself, such as a review's sentences; nothing for most tasks."""
    found = TASKS[example.task].segments
    return () if found is None else found(example)
