"""Decisions by probability: which answers a shop takes as they are, which a person sees, and which it leaves.

Of calibrated probabilities the expected error rate of accepted answers is the mean of what is missing to 1; rows with
known answers show whether it holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ecellm.errors import ConfigError

#: The column that says which decision a row has.
DECISION = "decision"


class Decision(StrEnum):
    """What is done with an answer."""

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"


@dataclass(frozen=True)
class DecisionThresholds:
    """From `accept` an answer is accepted, from `review` a person sees it, below it is rejected."""

    accept: float
    review: float = 0.0

    def __post_init__(self) -> None:
        """Raise ConfigError unless 0 <= review <= accept <= 1."""
        if not 0 <= self.review <= self.accept <= 1:
            raise ConfigError(
                f"--review {self.review:g} and --accept {self.accept:g}: both are probabilities from 0 to 1, and "
                "--review is at most --accept."
            )

    def decide(self, probability: float | None) -> Decision:
        """Return the decision; an answer without a probability is for a person."""
        if probability is None:
            return Decision.REVIEW
        if probability >= self.accept:
            return Decision.ACCEPT
        return Decision.REVIEW if probability >= self.review else Decision.REJECT


@dataclass
class DecisionCounts:
    """How many answers have which decision, and how many of the accepted ones are expected to be wrong."""

    counts: dict[Decision, int] = field(default_factory=lambda: dict.fromkeys(Decision, 0))
    expected_errors: float = 0.0

    def add(self, decision: Decision, probability: float | None) -> None:
        """Count one answer."""
        self.counts[decision] += 1
        if decision is Decision.ACCEPT and probability is not None:
            self.expected_errors += 1 - probability

    @property
    def expected_error_rate(self) -> float | None:
        """Of the accepted answers; None where there are none."""
        accepted = self.counts[Decision.ACCEPT]
        return self.expected_errors / accepted if accepted else None

    def summary(self) -> str:
        """Return one line for a person."""
        counts: Mapping[Decision, int] = self.counts
        rate = self.expected_error_rate
        expected = "" if rate is None else f" (expected error rate {rate:.1%})"
        return (
            f"{counts[Decision.ACCEPT]:,} accepted{expected}, {counts[Decision.REVIEW]:,} for review, "
            f"{counts[Decision.REJECT]:,} rejected"
        )


def count_decisions(thresholds: DecisionThresholds, probabilities: Iterable[float | None]) -> DecisionCounts:
    """Return how many answers of these probabilities have which decision."""
    found = DecisionCounts()
    for probability in probabilities:
        found.add(thresholds.decide(probability), probability)
    return found
