"""Which rows are read together: those of like length, where they are padded to the longest, or simply so many."""

import math
from collections.abc import Callable, Sequence

#: Padding that is not worth another pass, as a share of a group's tokens.
LITTLE = 0.04
#: Tokens under which a pass takes as long as with more: on a CPU, and on an accelerator.
FEW_ON_CPU, FEW_ON_ACCELERATOR = 384, 8192
#: Tokens above which a pass on a CPU takes longer for each: what is between two layers leaves the caches.
MANY_ON_CPU = 1536


def alike(lengths: Sequence[int], device: str) -> list[list[int]]:
    """Return which rows are read together, the longest first: a group ends where another row would bring more than a
    little padding, once it has tokens enough to keep the device busy, and on a CPU before it has many."""
    few, many = (FEW_ON_CPU, MANY_ON_CPU) if device == "cpu" else (FEW_ON_ACCELERATOR, math.inf)

    def joins(group: Sequence[int], tokens: int, row: int) -> bool:
        wide = lengths[group[0]] * (len(group) + 1)
        padding = wide - tokens - lengths[row]
        return tokens < few or (padding <= LITTLE * tokens and wide <= many)

    return _groups(lengths, joins)


def end_to_end(lengths: Sequence[int], device: str) -> list[list[int]]:
    """Return which rows are read together where none is padded, the longest first: as many as a pass takes well."""
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
