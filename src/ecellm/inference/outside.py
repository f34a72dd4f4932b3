"""What servers and engines, which write their answers themselves, are asked alike: lengths, seeds, probabilities."""

from collections.abc import Mapping, Sequence

from ecellm.inference.generator import Decoding, Question
from ecellm.keys import keyed_hash
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import Triples

#: How many likely tokens are asked for: the most that servers give.
MOST_LIKELY = 20


def seed_of(seed: int, question: Question) -> int:
    """Return the seed of a question's sampled answer: of the sample and its prompt, so that order plays no part."""
    return int(keyed_hash(seed, "sampling", question.asked.sample.id, question.prompt.text)[:7], 16)


def longest(sample: Sample, decoding: Decoding) -> int:
    """Return an answer's length at most, in tokens: where triples are asked for in JSON, each may be as long."""
    kind = TASKS[sample.task].answer
    answers = len(kind.attributes(sample)) if isinstance(kind, Triples) and not decoding.free else 1
    return decoding.most_tokens * answers


def told_apart(candidates: Sequence[str]) -> bool:
    """Say whether an answer's first character tells which candidate it is, as with yes and no, and letters."""
    return len({candidate[:1].casefold() for candidate in candidates}) == len(candidates)


def candidate_of(candidates: Sequence[str], token: str) -> int | None:
    """Return the place of the candidate that an answer begins with, if this is its first token.

    "Yes", " yes" and "y" begin yes; "B:" and 'B"' begin B; "Based" does not.
    """
    said = token.lstrip().casefold()
    for place, candidate in enumerate(candidates):
        whole = candidate.casefold()
        rest = said.removeprefix(whole)
        if said and (whole.startswith(said) or (rest != said and not rest[:1].isalnum())):
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
