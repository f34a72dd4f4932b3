"""Values as spans of a prompt: how any number of them is learned, and found again by start and end scores.

Shapes: A attributes, T tokens; the last of T + 1 places stands for None.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ecellm.models.masking import NEVER
from ecellm.models.xs.examples import EncodedExample, Span

#: The longest value, in tokens.
LONGEST_SPAN = 24


def multi_label_loss(scores: Tensor, right: Tensor) -> Tensor:
    """Return the loss, [A], of choosing any number of places by scores [A, T + 1], the last one a threshold.

    log(1 + sum over wrong places of exp(score - threshold)) + log(1 + sum over right ones of exp(threshold - score)):
    right places are to come above the threshold and wrong ones below it, however many there are (Su et al. 2022,
    "ZLPR", with a learned threshold as in ATLOP, Zhou et al. 2021).
    """
    right = right.to(scores.device)[:, :-1]
    margins = scores[:, :-1] - scores[:, -1:]
    nothing = margins.new_zeros(len(margins), 1)
    wrong = torch.cat([nothing, margins.masked_fill(right, NEVER)], 1).logsumexp(1)
    missed = torch.cat([nothing, (-margins).masked_fill(~right, NEVER)], 1).logsumexp(1)
    return wrong + missed


def trusted_scores(example: EncodedExample, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Return what known values add to the scores of their first and last tokens, [A, T + 1] each: the largest of a
    place, by size."""
    start, end = torch.zeros(shape), torch.zeros(shape)
    for attribute, (first, after), score in example.trusted:
        for scores, place in ((start, first), (end, after - 1)):
            if abs(score) > abs(float(scores[attribute, place])):
                scores[attribute, place] = score
    return start, end


def value_spans(start: Tensor, end: Tensor, fields: Sequence[Span]) -> list[Span]:
    """Return the spans within one field whose two scores sum to more than None's, in order of their places; of spans
    that overlap, the one of the greatest sum.

    `start` and `end` are [T + 1] scores, None's last.
    """
    found: list[tuple[float, Span]] = []
    for first, after in fields:
        length = after - first
        total = (start[first:after, None] - start[-1]) + (end[None, first:after] - end[-1])
        allowed = torch.ones(length, length, dtype=torch.bool).triu().tril(LONGEST_SPAN - 1)
        for begins, ends in (allowed & (total > 0)).nonzero().tolist():
            found.append((float(total[begins, ends]), (first + begins, first + ends + 1)))
    chosen: list[Span] = []
    for _, span in sorted(found, key=lambda one: (-one[0], one[1])):
        if all(span[1] <= other[0] or other[1] <= span[0] for other in chosen):
            chosen.append(span)
    return sorted(chosen)
