"""What prompts begin with alike: template and instruction, read once for all that share them."""

from collections import Counter
from collections.abc import Sequence

from ecellm.prompts import Prompt

#: Fewer tokens are not worth a pass of their own.
FEWEST = 16
#: Nor is a smaller share of the prompt: what stands behind a beginning is read with a mask, and attention with a mask
#: costs twice what it costs without, the more the longer the prompt.
LEAST_SHARE = 1 / 8


def shared_beginnings(prompts: Sequence[Prompt]) -> list[int]:
    """Return how many of its first tokens each prompt shares with another of the batch: all before the sample's own
    texts, or none. So what a row shares does not depend on where another's text happens to differ."""
    beginnings = [tuple(_beginning(prompt)) for prompt in prompts]
    counts = Counter(beginnings)
    return [len(ids) if counts[ids] > 1 else 0 for ids in beginnings]


def _beginning(prompt: Prompt) -> list[int]:
    """Return the tokens before the sample's own texts, which are never the prompt's last; none where too few."""
    length = min((mark.start for mark in prompt.contents), default=0)
    return prompt.ids[:length] if length >= max(FEWEST, LEAST_SHARE * len(prompt.ids)) else []
