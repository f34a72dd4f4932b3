"""The cost of a run on a server: an estimate before the first request, the server's own count after the last."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ecellm.errors import ServerError
from ecellm.models.base import Decoding, Request, Usage
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.remote.common import longest
from ecellm.models.remote.request_form import SYSTEM

#: The rule of thumb where there is no tokenizer: a token for every 4 bytes of UTF-8, and the frame of a chat.
BYTES_PER_TOKEN, FRAME_TOKENS = 4, 10


@dataclass(frozen=True)
class Prices:
    """Prices of a million tokens, in any currency; None where not known."""

    prompt: float | None = None
    written: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """Return what these tokens cost, or None without both prices."""
        if self.prompt is None or self.written is None:
            return None
        return (usage.prompt * self.prompt + usage.written * self.written) / 1e6

    def summary(self, usage: Usage) -> str:
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
            raise ServerError("A highest cost needs prices: give --price-in and --price-out, per million tokens.")

    def plan(self, decoding: Decoding, say: Callable[[str], None]) -> Callable[[Iterable[Request]], None]:
        """Return a callback that prints an estimate before the first request; it raises ServerError where that is too
        much."""

        def plan(requests: Iterable[Request]) -> None:
            count, expected = estimate(requests, decoding)
            say(
                f"Estimate for {count:,} questions: {self.prices.summary(expected)}, at {BYTES_PER_TOKEN} "
                "bytes a token and free-form answers at their longest."
            )
            cost = self.prices.cost(expected)
            if self.most is not None and cost is not None and cost > self.most:
                raise ServerError(
                    f"The questions are estimated to cost {cost:,.4f}, above {self.most:,.4f}: raise --max-cost, or "
                    "--limit the questions."
                )

        return plan

    def spend(self, usage: Usage) -> None:
        """Raise ServerError where a run's actual cost exceeds the maximum."""
        cost = self.prices.cost(usage)
        if self.most is not None and cost is not None and cost > self.most:
            raise ServerError(
                f"The answers of this run cost {cost:,.4f}, above {self.most:,.4f}, so it stopped; they are kept. "
                "Run the command again to resume."
            )


def estimate(requests: Iterable[Request], decoding: Decoding) -> tuple[int, Usage]:
    """Return the number of requests and the tokens that they will take, by the rule of thumb."""
    count = prompt = written = 0
    for request in requests:
        count += 1
        prompt += tokens(SYSTEM) + tokens(request.prompt.text) + FRAME_TOKENS
        example = request.question.example
        candidates = None if decoding.free else candidates_of(example)
        most = longest(example, decoding)
        written += most if candidates is None else min(most, max(map(tokens, candidates)) + FRAME_TOKENS)
    return count, Usage(prompt, written)


def tokens(text: str) -> int:
    """Return a text's tokens by the rule of thumb, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
