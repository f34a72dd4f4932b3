"""Shared by servers and vLLM, which generate answers themselves: lengths, seeds, probabilities."""

from collections.abc import Mapping, Sequence

from ecellm.io.hashing import keyed_hash
from ecellm.models.base import Decoding, Request
from ecellm.tasks import TASKS
from ecellm.types import Example

#: How many likely tokens are requested: the most that servers give.
MOST_LIKELY = 20


def seed_of(seed: int, request: Request) -> int:
    """Return the seed of a sampled answer, from the example and its prompt, so that order does not matter."""
    return int(keyed_hash(seed, "sampling", request.question.example.id, request.prompt.text)[:7], 16)


def longest(example: Example, decoding: Decoding) -> int:
    """Return the maximum length of an answer, in tokens; of JSON triples each may be as long as one answer."""
    attributes = [] if decoding.free else TASKS[example.task].answer.attributes(example)
    return decoding.max_new_tokens * max(len(attributes), 1)


def first_letters_differ(candidates: Sequence[str]) -> bool:
    """Return whether the first character of an answer identifies the candidate, as with yes and no, and letters."""
    return len({candidate[:1].casefold() for candidate in candidates}) == len(candidates)


def candidate_of(candidates: Sequence[str], token: str) -> int | None:
    """Return the place of the candidate that an answer begins with, if this is its first token.

    "Yes", " yes" and "y" begin yes; "B:" and 'B"' begin B; "Based" does not.
    """
    text = token.lstrip().casefold()
    for place, candidate in enumerate(candidates):
        whole = candidate.casefold()
        rest = text.removeprefix(whole)
        if text and (whole.startswith(text) or (rest != text and not rest[:1].isalnum())):
            return place
    return None


def shares(candidates: Sequence[str], likely: Mapping[str, float]) -> list[float] | None:
    """Return each candidate's share of the likely tokens' probabilities (by token) that belong to candidates.

    They sum to 1; a candidate that is not among the likely tokens has 0. None where no token belongs to one.
    """
    found = [0.0] * len(candidates)
    for token, probability in likely.items():
        place = candidate_of(candidates, token)
        if place is not None:
            found[place] += probability
    total = sum(found)
    return [share / total for share in found] if total > 0 else None
