"""The one protocol behind which every model answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ecellm.dataset.dataset import Asked
from ecellm.prompts import Prompt


@dataclass(frozen=True)
class Question:
    """One sample as asked, with its prompt."""

    asked: Asked
    prompt: Prompt


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str
    probability: float | None = None
    """Of this answer among its candidates, where there are candidates."""
    scores: dict[str, float] | None = None
    """Every candidate's probability; they sum to 1."""


class Generator(Protocol):
    """A model that can be asked."""

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the samples' prompts as the model was tuned on them, within its token budget."""

    def reply(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer a batch, in order. The same answers come whatever the batch."""
