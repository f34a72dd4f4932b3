"""Whether two models, or one model before and after a change, answer the same questions alike."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ecellm.models.base import Failure, Reply
from ecellm.types import Question


@dataclass(frozen=True)
class Agreement:
    """How many answers are equal."""

    questions: Counter[str]
    """Questions by task."""
    different: Counter[str]
    """Answers that differ, by task."""
    near_ties: int
    """Those among the different ones that either side marks as near-ties."""

    @property
    def equal(self) -> int:
        """Answers that are the same text."""
        return self.questions.total() - self.different.total()


def agreement(
    rows: Sequence[Question], some: Sequence[Reply | Failure], others: Sequence[Reply | Failure]
) -> Agreement:
    """Compare two sides' replies to the same rows; a question that got no answer is equal to nothing."""
    found = Agreement(Counter(), Counter(), 0)
    near_ties = 0
    for row, one, other in zip(rows, some, others, strict=True):
        found.questions[row.example.task] += 1
        if not (isinstance(one, Reply) and isinstance(other, Reply) and one.text == other.text):
            found.different[row.example.task] += 1
            near_ties += any(isinstance(reply, Reply) and reply.near_tie for reply in (one, other))
    return Agreement(found.questions, found.different, near_ties)
