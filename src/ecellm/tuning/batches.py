"""Batches under a token budget: rows of like length together, in an order drawn anew each epoch."""

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from ecellm.keys import keyed_hash

#: Rows are padded to a multiple of this, so that equal buckets form whatever the exact lengths.
BUCKET = 8


class TokenBatches(Sampler[list[int]]):
    """Yields lists of row numbers whose padded size stays within a token budget.

    The number of batches is the same in every epoch: only rows of one bucket change places.
    """

    def __init__(self, lengths: Sequence[int], budget: int, seed: int):
        self.lengths = list(lengths)
        self.widths = [-(-length // BUCKET) * BUCKET for length in lengths]
        self.budget = budget
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        order = sorted(range(len(batches)), key=lambda place: keyed_hash(self.seed, self.epoch, "b", place))
        return iter([batches[place] for place in order])

    def _batches(self) -> list[list[int]]:
        rows = sorted(
            range(len(self.widths)),
            key=lambda row: (self.widths[row], keyed_hash(self.seed, self.epoch, row)),
        )
        batches: list[list[int]] = []
        for row in rows:
            # Rows come in growing width, so the new row's width is the batch's.
            if batches and (len(batches[-1]) + 1) * self.widths[row] <= self.budget:
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches
