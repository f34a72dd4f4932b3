"""Batching: requests that are answered together, and rows that share a forward pass.

Rows are grouped by length where they are padded to the longest, by number of tokens where they are packed.
"""

import math
from collections.abc import Callable, Sequence

from ecellm.models.base import Request
from ecellm.models.decoding.candidates import candidates_of

#: Prompt tokens in one batch, padding included, and the most rows.
BATCH_TOKENS, BATCH_ROWS = 32_768, 64

#: Padding that is not worth another pass, as a share of a group's tokens.
MAX_PADDING = 0.04
#: Tokens under which a pass takes as long as with more: on a CPU, and on an accelerator.
FEW_ON_CPU, FEW_ON_ACCELERATOR = 384, 8192
#: Tokens above which a pass on a CPU takes longer for each: what is between two layers leaves the caches.
MANY_ON_CPU = 1536


def batches(requests: Sequence[Request], tokens: int = BATCH_TOKENS, rows: int = BATCH_ROWS) -> list[list[Request]]:
    """Return the requests in batches of similar length within a budget of padded tokens, the longest first.

    So what does not fit into memory fails at once. Multiple-choice and free-form questions are not mixed: the former
    are scored, the latter generated.
    """
    examples = [request.question.example for request in requests]
    free_form = {example.id: candidates_of(example) is None for example in examples}
    order = sorted(
        requests,
        key=lambda request: (
            free_form[request.question.example.id],
            -len(request.prompt.ids),
            request.question.example.id,
        ),
    )
    made: list[list[Request]] = []
    for request in order:
        batch = made[-1] if made else []
        # The first of a batch is its longest.
        fits = batch and len(batch) < rows and (len(batch) + 1) * len(batch[0].prompt.ids) <= tokens
        if fits and free_form[batch[0].question.example.id] == free_form[request.question.example.id]:
            batch.append(request)
        else:
            made.append([request])
    return made


def padded_groups(lengths: Sequence[int], device: str) -> list[list[int]]:
    """Return the rows of each padded forward pass, the longest first: a group ends where another row would add more
    than MAX_PADDING, once it has tokens enough to keep the device busy, and on a CPU before it has many."""
    few, many = (FEW_ON_CPU, MANY_ON_CPU) if device == "cpu" else (FEW_ON_ACCELERATOR, math.inf)

    def joins(group: Sequence[int], tokens: int, row: int) -> bool:
        wide = lengths[group[0]] * (len(group) + 1)
        padding = wide - tokens - lengths[row]
        return tokens < few or (padding <= MAX_PADDING * tokens and wide <= many)

    return _groups(lengths, joins)


def packed_groups(lengths: Sequence[int], device: str) -> list[list[int]]:
    """Return the rows of each packed forward pass, the longest first: as many as a pass takes well."""
    most = MANY_ON_CPU if device == "cpu" else FEW_ON_ACCELERATOR
    return _groups(lengths, lambda group, tokens, row: tokens + lengths[row] <= most)


def _groups(lengths: Sequence[int], joins: Callable[[Sequence[int], int, int], bool]) -> list[list[int]]:
    """Return rows in groups, the longest first: a row joins the last one where `joins(group, its tokens, row)`."""
    groups: list[list[int]] = []
    tokens = 0
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if groups and joins(groups[-1], tokens, row):
            groups[-1].append(row)
            tokens += lengths[row]
        else:
            groups.append([row])
            tokens = lengths[row]
    return groups
