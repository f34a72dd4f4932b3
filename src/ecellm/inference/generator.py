"""The one protocol behind which every model answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Protocol, runtime_checkable

from ecellm.dataset.dataset import Asked
from ecellm.models.precision import FP32, Precision
from ecellm.prompts import Prompt


@dataclass(frozen=True)
class Question:
    """One sample as asked, with its prompt."""

    asked: Asked
    prompt: Prompt


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer, as its server counts them."""

    prompt: int
    written: int

    def __add__(self, other: "Usage | None") -> "Usage":
        return self if other is None else Usage(self.prompt + other.prompt, self.written + other.written)


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str
    probability: float | None = None
    """Of this answer among its candidates, where there are candidates."""
    scores: dict[str, float] | None = None
    """Every candidate's probability; they sum to 1."""
    usage: Usage | None = None
    """The tokens that a server says it read and wrote, where one was asked."""
    near_tie: bool = False
    """Whether another answer is as likely within what the arithmetic can tell, so that another batch, thread or
    processor may give that one."""


@dataclass(frozen=True)
class Failure:
    """A question that got no answer, such as one that a server refused; it is asked again by the next run."""

    reason: str
    """One short sentence."""


@dataclass(frozen=True)
class Decoding:
    """How answers are made. All of it is part of what a run's answers are kept under."""

    free: bool = False
    """Whether closed questions are answered by writing, as in the paper, instead of by choosing a candidate."""
    temperature: float = 0.0
    """Of written answers: 0 is greedy, above it they are sampled (the paper: .15)."""
    top_p: float = 1.0
    """Sampling keeps the likeliest tokens of this share (the paper: .95)."""
    seed: int = 0
    """Of sampling."""
    most_tokens: int = 100
    """A written answer's length at most, in tokens; 100 as in the paper."""
    precision: Precision = FP32
    """Of the linear layers on a CPU; on an accelerator a model has the precision of its weights."""

    def __str__(self) -> str:
        """Return what of it changes answers, for the record of a run: a seed does so only where it is used."""
        # Nothing for fp32: runs from before there was a choice go on.
        lowered = () if self.precision == FP32 else (self.precision,)
        sampled = f"temperature {self.temperature:g}, top_p {self.top_p:g}, seed {self.seed}"
        return ", ".join(
            (
                "free" if self.free else "closed",
                sampled if self.temperature else "greedy",
                f"at most {self.most_tokens} tokens",
                *lowered,
            )
        )


class Generator(Protocol):
    """A model that can be asked."""

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the samples' prompts as the model was tuned on them, within its token budget."""

    def reply(self, questions: Sequence[Question]) -> Sequence[Reply | Failure]:
        """Answer a batch, in order. The same answers come whatever the batch."""


@runtime_checkable
class Streaming(Generator, Protocol):
    """A model that makes its own batches, such as one behind a server: answers come when they come."""

    def stream(
        self, questions: Sequence[Question], halt: Event | None = None
    ) -> Iterator[tuple[int, Reply | Failure]]:
        """Ask all the questions and give each one's place and answer as it comes, in any order.

        Once `halt` is set no more are asked; what is under way still comes, as it may have to be paid for.

        Raises ValueError where asking on is useless, such as for a wrong key.
        """
