"""Padding rows of different lengths to one tensor, and the score of what must not be chosen."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Below every real score, and safe to add to others in bf16.
NEVER = -1e4


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device | str) -> Tensor:
    """Return ids [B, T], padded on the right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
