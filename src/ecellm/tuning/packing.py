"""Packing: several samples in one row of tokens, each attending to itself alone, so that hardly a token is padding.

The row carries positions that start anew with every sample; from those, attention is kept within samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lesson:
    """A sample to learn from."""

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
    """[1, T], from 0 in each sample."""
    places: Tensor
    """[R]: where the response tokens are predicted, one before each."""
    targets: Tensor
    """[R]: the response tokens."""
    owners: Tensor
    """[R]: which of the row's samples each is of."""
    borders: Tensor
    """[samples + 1]: where each sample begins, and where the last one ends; int32, as attention kernels take it."""
    longest: int
    """Tokens of the longest sample, filled up."""


def packs(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return which samples go into which row of at most `capacity` tokens (first fit, the longest first; a longer
    sample has a row of its own). Samples and rows are named by their places."""
    rows: list[list[int]] = []
    room: list[int] = []
    for sample in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        length = lengths[sample]
        fitting = next((row for row, left in enumerate(room) if left >= length), None)
        if fitting is None:
            rows.append([sample])
            room.append(capacity - length)
        else:
            rows[fitting].append(sample)
            room[fitting] -= length
    return rows


def rounded(length: int, step: int) -> int:
    """Return the next multiple of `step`."""
    return -(-length // step) * step


def packed_row(lessons: Sequence[Lesson], step: int = 1) -> PackedRow:
    """Return the lessons in a row, each filled up with token 0, position 0, to a multiple of `step` tokens.

    What fills a sample up comes after it, so that with causal attention the sample's own tokens never see it.
    """
    ids: list[int] = []
    positions: list[int] = []
    places: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    borders = [0]
    for owner, lesson in enumerate(lessons):
        begin = len(ids) + len(lesson.prompt) - 1
        places += range(begin, begin + len(lesson.response))
        targets += lesson.response
        owners += [owner] * len(lesson.response)
        filling = [0] * (rounded(lesson.length, step) - lesson.length)
        positions += [*range(lesson.length), *filling]
        ids += [*lesson.prompt, *lesson.response, *filling]
        borders.append(len(ids))
    return PackedRow(
        torch.tensor([ids]),
        torch.tensor([positions]),
        torch.tensor(places, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        torch.tensor(owners, dtype=torch.long),
        torch.tensor(borders, dtype=torch.int32),
        max(rounded(lesson.length, step) for lesson in lessons),
    )
