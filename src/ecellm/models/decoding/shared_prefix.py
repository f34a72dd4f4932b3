"""The shared prefix of prompts, template and instruction, which is read once for all that share it."""

from collections import Counter
from collections.abc import Sequence

from ecellm.prompts import Prompt

#: Fewer tokens are not worth a pass of their own.
MIN_PREFIX = 16
#: Nor is a smaller share of the prompt: what follows a shared prefix is read with a mask, and attention with a mask
#: costs twice what it costs without, the more the longer the prompt.
MIN_SHARE = 1 / 8


def shared_prefixes(prompts: Sequence[Prompt]) -> list[int]:
    """Return how many of its first tokens each prompt shares with another of the batch: all before the example's own
    texts, or none. So what a row shares does not depend on where another's text happens to differ."""
    prefixes = [tuple(_prefix(prompt)) for prompt in prompts]
    counts = Counter(prefixes)
    return [len(ids) if counts[ids] > 1 else 0 for ids in prefixes]


def _prefix(prompt: Prompt) -> list[int]:
    """Return the tokens before the example's own texts, which are never the prompt's last; none where too few."""
    length = min((mark.start for mark in prompt.contents), default=0)
    return prompt.ids[:length] if length >= max(MIN_PREFIX, MIN_SHARE * len(prompt.ids)) else []
