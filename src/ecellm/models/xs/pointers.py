"""Pointers into the prompt, and how they share the choice of a word with the vocabulary (See et al. 2017).

Shapes: N rows, Q asking states, P places, H hidden, R response positions, T prompt tokens, V words.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Pointer(nn.Module):
    """Bilinear attention scores."""

    def __init__(self, size: int):
        super().__init__()
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size, bias=False)
        self.scale = size**-0.5

    def forward(self, asking: Tensor, keys: Tensor) -> Tensor:
        """Return scores [..., Q, P] of asking states [..., Q, H] on states [..., P, H]."""
        return self.scores(asking, self.key(keys))

    def scores(self, asking: Tensor, keys: Tensor) -> Tensor:
        """Return scores on states whose keys [..., P, H] are known."""
        return torch.matmul(self.query(asking) * self.scale, keys.transpose(-1, -2))


@dataclass
class WordScores:
    """Log-probabilities of writing a word, [N, R, V], or copying a place, [N, R, T], of ids [N, T]."""

    written: Tensor
    copied: Tensor
    prompts: Tensor

    def of(self, targets: Tensor) -> Tensor:
        """Return the log-probability of each target word, [N, R]: written or copied from any place."""
        written = self.written.gather(-1, targets[:, :, None])[:, :, 0]
        same = self.prompts[:, None, :] == targets[:, :, None]
        copied = self.copied.masked_fill(~same, -torch.inf).logsumexp(-1)
        return torch.logaddexp(written, copied)

    def best(self, excluded: int | None = None) -> Tensor:
        """Return the likeliest next word at each place, [N, R], other than the excluded one."""
        places = self.prompts[:, None, :].expand(self.copied.shape)
        total = self.written.exp().scatter_add(-1, places, self.copied.exp())
        if excluded is not None:
            total[..., excluded] = -1.0
        return total.argmax(-1)
