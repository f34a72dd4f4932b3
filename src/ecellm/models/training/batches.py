"""The examples of each step, in an order drawn anew each epoch: for XS batches under a token budget, of one task and
similar length; for other models a number of examples.

In a mixed batch the task with the largest loss drowns the others: a span's is ten times that of a yes or no
(docs/notebook.md). In batches of their own, the clipped gradients of all tasks move the weights equally.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from torch.utils.data import DataLoader, Sampler

from ecellm.io.hashing import keyed_hash

#: Rows are padded to a multiple of this, so that equal buckets form whatever the exact lengths.
BUCKET = 8


class TokenBatches(Sampler[list[int]]):
    """Yields lists of row numbers of one task whose padded size stays within a token budget.

    The number of batches is the same in every epoch: only rows of one bucket change places. Of a task with more than
    `task_rows` rows each epoch has about so many, the next ones of each bucket in a fixed order.
    """

    def __init__(
        self, lengths: Sequence[int], tasks: Sequence[str], budget: int, seed: int, task_rows: int | None = None
    ):
        """Take each row's length in tokens and its task."""
        self.lengths = list(lengths)
        self.tasks = list(tasks)
        self.widths = [-(-length // BUCKET) * BUCKET for length in lengths]
        self.budget = budget
        self.seed = seed
        self.epoch = 0
        self.buckets: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for row in sorted(range(len(self.widths)), key=lambda row: keyed_hash(seed, "row", row)):
            self.buckets[self.tasks[row], self.widths[row]].append(row)
        most = task_rows or len(self.tasks)
        self.shares = {task: min(1.0, most / count) for task, count in Counter(self.tasks).items()}

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        order = sorted(range(len(batches)), key=lambda place: keyed_hash(self.seed, self.epoch, "b", place))
        return iter([batches[place] for place in order])

    def tokens(self) -> int:
        """Return the tokens of this epoch's rows, without padding."""
        return sum(self.lengths[row] for row in self._rows())

    def _rows(self) -> Iterator[int]:
        """Yield the rows of this epoch."""
        for (task, _), rows in self.buckets.items():
            count = max(1, round(len(rows) * self.shares[task]))
            first = self.epoch * count
            yield from (rows[(first + place) % len(rows)] for place in range(count))

    def _batches(self) -> list[list[int]]:
        rows = sorted(
            self._rows(),
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


class SampleSteps(Sampler[list[int]]):
    """Yields the examples of each step, in an order drawn anew each epoch."""

    def __init__(self, examples: int, to_a_step: int, seed: int):
        """Take the number of examples, and how many make a step."""
        self.examples, self.to_a_step, self.seed = examples, to_a_step, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.examples // self.to_a_step)

    def __iter__(self) -> Iterator[list[int]]:
        order = sorted(range(self.examples), key=lambda place: keyed_hash(self.seed, self.epoch, place))
        return iter([order[start : start + self.to_a_step] for start in range(0, self.examples, self.to_a_step)])


Row = TypeVar("Row", covariant=True)


class EpochLoader(DataLoader[Row]):
    """A loader whose batches are drawn anew when Trainer says which epoch it is."""

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
