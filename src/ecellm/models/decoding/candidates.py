"""The candidates of a multiple-choice question, and which of them is right."""

from ecellm.tasks import TASKS
from ecellm.types import Example


def candidates_of(example: Example) -> tuple[str, ...] | None:
    """Return every text that may answer an example, or None for a free-form task."""
    return TASKS[example.task].answer.candidates(example)


def right_candidate(example: Example) -> int | None:
    """Return the index of an example's right answer among its candidates, or None where it is none of them."""
    answer = TASKS[example.task].answer
    known = answer.parse(example.output, example)
    names = [answer.parse(text, example) for text in candidates_of(example) or ()]
    return names.index(known) if known is not None and known in names else None
