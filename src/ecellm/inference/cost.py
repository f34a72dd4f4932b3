"""What asking a server costs: an estimate before the first question, the server's own count after the last."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ecellm.inference.closed import candidates_of
from ecellm.inference.generator import Decoding, Question, Usage
from ecellm.inference.openai_ import SYSTEM
from ecellm.inference.outside import longest

#: The rule of thumb where there is no tokenizer: a token for every 4 bytes of UTF-8, and what a chat's frame takes.
BYTES_PER_TOKEN, FRAME_TOKENS = 4, 10


@dataclass(frozen=True)
class Prices:
    """What a server asks for a million tokens, in any currency; None where it is not known."""

    prompt: float | None = None
    written: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """Return what these tokens cost, or None without both prices."""
        if self.prompt is None or self.written is None:
            return None
        return (usage.prompt * self.prompt + usage.written * self.written) / 1e6

    def told(self, usage: Usage) -> str:
        """Return tokens and cost in words."""
        cost = self.cost(usage)
        price = "" if cost is None else f" (cost {cost:,.4f})"
        return f"{usage.prompt:,} tokens read and {usage.written:,} written{price}"


@dataclass(frozen=True)
class Budget:
    """Prices, and what a run may cost at most."""

    prices: Prices = Prices()
    most: float | None = None

    def __post_init__(self) -> None:
        if self.most is not None and self.prices.cost(Usage(0, 0)) is None:
            raise ValueError("A highest cost needs prices: give --price-in and --price-out, per million tokens.")

    def plan(self, decoding: Decoding, say: Callable[[str], None]) -> Callable[[Iterable[Question]], None]:
        """Return what says an estimate before the first question, and raises ValueError where that is too much."""

        def plan(questions: Iterable[Question]) -> None:
            count, expected = estimate(questions, decoding)
            say(
                f"Estimate for {count:,} questions: {self.prices.told(expected)}, at {BYTES_PER_TOKEN} "
                "bytes a token and open answers at their longest."
            )
            cost = self.prices.cost(expected)
            if self.most is not None and cost is not None and cost > self.most:
                raise ValueError(
                    f"The questions are estimated to cost {cost:,.4f}, above {self.most:,.4f}: raise --max-cost, or "
                    "ask fewer."
                )

        return plan

    def spend(self, usage: Usage) -> None:
        """Raise ValueError where a run's true cost has come above the most."""
        cost = self.prices.cost(usage)
        if self.most is not None and cost is not None and cost > self.most:
            raise ValueError(
                f"The answers of this run cost {cost:,.4f}, above {self.most:,.4f}, so it stopped; they are kept. "
                "Run the command again to go on."
            )


def estimate(questions: Iterable[Question], decoding: Decoding) -> tuple[int, Usage]:
    """Return how many questions there are, and the tokens that asking a server takes, by the rule of thumb."""
    count = prompt = written = 0
    for question in questions:
        count += 1
        prompt += tokens(SYSTEM) + tokens(question.prompt.text) + FRAME_TOKENS
        sample = question.asked.sample
        candidates = None if decoding.free else candidates_of(sample)
        most = longest(sample, decoding)
        written += most if candidates is None else min(most, max(map(tokens, candidates)) + FRAME_TOKENS)
    return count, Usage(prompt, written)


def tokens(text: str) -> int:
    """Return a text's tokens by the rule of thumb, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
