"""Packing: several examples in one row of tokens, each attending to itself alone, so that hardly a token is padding.

The row carries positions that start anew with every example; from those, attention is kept within examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenisedExample:
    """A training example as tokens."""

    id: str
    task: str
    prompt: list[int]
    response: list[int]
    """With its end token."""

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class PackedRow:
    """One row of T tokens with R response tokens."""

    ids: Tensor
    """[1, T]"""
    positions: Tensor
    """[1, T], from 0 in each example."""
    places: Tensor
    """[R]: where the response tokens are predicted, one before each."""
    targets: Tensor
    """[R]: the response tokens."""
    owners: Tensor
    """[R]: which of the row's examples each is of."""
    borders: Tensor
    """[examples + 1]: where each example begins, and where the last one ends; int32, as attention kernels take it."""
    longest: int
    """Tokens of the longest example, padding included."""


def packs(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return which examples go into which row of at most `capacity` tokens (first fit, the longest first; a longer
    example has a row of its own), by index."""
    rows: list[list[int]] = []
    room: list[int] = []
    for example in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        length = lengths[example]
        fitting = next((row for row, left in enumerate(room) if left >= length), None)
        if fitting is None:
            rows.append([example])
            room.append(capacity - length)
        else:
            rows[fitting].append(example)
            room[fitting] -= length
    return rows


def rounded(length: int, step: int) -> int:
    """Return the next multiple of `step`."""
    return -(-length // step) * step


def packed_row(examples: Sequence[TokenisedExample], step: int = 1) -> PackedRow:
    """Return the examples in a row, each padded with token 0, position 0, to a multiple of `step` tokens.

    Padding comes after an example, so that with causal attention the example's own tokens never see it.
    """
    ids: list[int] = []
    positions: list[int] = []
    places: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    borders = [0]
    for owner, example in enumerate(examples):
        begin = len(ids) + len(example.prompt) - 1
        places += range(begin, begin + len(example.response))
        targets += example.response
        owners += [owner] * len(example.response)
        padding = [0] * (rounded(example.length, step) - example.length)
        positions += [*range(example.length), *padding]
        ids += [*example.prompt, *example.response, *padding]
        borders.append(len(ids))
    return PackedRow(
        torch.tensor([ids]),
        torch.tensor([positions]),
        torch.tensor(places, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        torch.tensor(owners, dtype=torch.long),
        torch.tensor(borders, dtype=torch.int32),
        max(rounded(example.length, step) for example in examples),
    )
