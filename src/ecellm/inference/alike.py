"""Rows of like length: what is read together is padded to its longest."""

from collections.abc import Sequence

#: Padding that is not worth another pass, as a share of a group's tokens.
LITTLE = 0.04
#: Tokens under which a pass takes as long as with more: on a CPU, and on an accelerator.
FEW_ON_CPU, FEW_ON_ACCELERATOR = 384, 8192


def alike(lengths: Sequence[int], device: str) -> list[list[int]]:
    """Return which rows are read together, the longest first: a group ends where another row would bring more than a
    little padding, once it has tokens enough to keep the device busy."""
    few = FEW_ON_CPU if device == "cpu" else FEW_ON_ACCELERATOR
    groups: list[list[int]] = []
    tokens = 0
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        longest = lengths[groups[-1][0]] if groups else 0
        padding = longest * (len(groups[-1]) + 1) - tokens - lengths[row] if groups else 0
        if groups and (tokens < few or padding <= LITTLE * tokens):
            groups[-1].append(row)
            tokens += lengths[row]
        else:
            groups.append([row])
            tokens = lengths[row]
    return groups
