"""Batches under a token budget: rows of one task and like length together, in an order drawn anew each epoch.

In a mixed batch the task with the largest loss drowns the others: a span's is ten times that of a yes or no
(docs/xs.md). In batches of their own, the clipped gradients of all tasks move the weights alike.
"""

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from ecellm.keys import keyed_hash

#: Rows are padded to a multiple of this, so that equal buckets form whatever the exact lengths.
BUCKET = 8


class TokenBatches(Sampler[list[int]]):
    """Yields lists of row numbers of one task whose padded size stays within a token budget.

    The number of batches is the same in every epoch: only rows of one bucket change places.
    """

    def __init__(self, lengths: Sequence[int], tasks: Sequence[str], budget: int, seed: int):
        """Take each row's length in tokens and its task."""
        self.lengths = list(lengths)
        self.tasks = list(tasks)
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
            key=lambda row: (self.tasks[row], self.widths[row], keyed_hash(self.seed, self.epoch, row)),
        )
        batches: list[list[int]] = []
        for row in rows:
            # A task's rows come in growing width, so the new row's width is the batch's.
            fits = batches and (len(batches[-1]) + 1) * self.widths[row] <= self.budget
            if fits and self.tasks[batches[-1][0]] == self.tasks[row]:
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches
