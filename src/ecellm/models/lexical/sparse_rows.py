"""Sparse matrices by rows, as models of counted words read them: numpy alone, as scipy takes long to import.

Sums are taken in the order of columns, one after the other, as scipy's own products of such matrices take them: the
same weights give the same figures to the last bit, whichever of the two reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecellm.tasks.metrics import Floats

Places = NDArray[np.int64]


@dataclass(frozen=True)
class SparseRows:
    """A matrix [rows, columns] of which only the values that are not 0 are kept, row by row, in order of columns."""

    values: Floats
    columns: Places
    """Each value's column."""
    owners: Places
    """Each value's row, ascending."""
    shape: tuple[int, int]

    @classmethod
    def of_dense(cls, dense: Floats) -> "SparseRows":
        """Return the rows of a dense matrix."""
        owners, columns = np.nonzero(dense)
        return cls(dense[owners, columns], columns, owners, (dense.shape[0], dense.shape[1]))

    @classmethod
    def side_by_side(cls, blocks: Sequence["SparseRows"]) -> "SparseRows":
        """Return one matrix of several with as many rows, their columns one after the other."""
        widths = [block.shape[1] for block in blocks]
        starts = np.cumsum([0, *widths[:-1]])
        owners = np.concatenate([block.owners for block in blocks])
        columns = np.concatenate([block.columns + start for block, start in zip(blocks, starts, strict=True)])
        values = np.concatenate([block.values for block in blocks])
        order = np.argsort(owners, kind="stable")
        return cls(values[order], columns[order], owners[order], (blocks[0].shape[0], sum(widths)))

    def take(self, rows: "Sequence[int] | Places") -> "SparseRows":
        """Return the given rows, in that order; a row may be taken several times."""
        starts = np.searchsorted(self.owners, np.arange(self.shape[0] + 1))
        chosen = np.asarray(rows, dtype=np.int64)
        lengths = starts[chosen + 1] - starts[chosen]
        owners = np.repeat(np.arange(len(chosen)), lengths)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = np.repeat(starts[chosen], lengths) + within
        return SparseRows(self.values[places], self.columns[places], owners, (len(chosen), self.shape[1]))

    def products(self, weights: Floats) -> Floats:
        """Return each row's product with each row of weights [k, columns]: [rows, k]."""
        each = [self._summed(self.values * vector[self.columns]) for vector in weights]
        return np.stack(each, axis=1) if each else np.zeros((self.shape[0], 0))

    def row_products(self, other: "SparseRows") -> Floats:
        """Return the product of each row with the same row of another matrix of this shape, [rows]."""
        width = max(self.shape[1], 1)
        keys, others = (one.owners * width + one.columns for one in (self, other))
        shared, mine, theirs = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
        found = np.zeros(self.shape[0])
        if len(shared):
            owners = shared // width
            starts = np.flatnonzero(np.diff(owners, prepend=-1))
            found[owners[starts]] = np.add.reduceat(self.values[mine] * other.values[theirs], starts)
        return found

    def products_with_rows(self, other: "SparseRows") -> Floats:
        """Return the product of every row with every row of another matrix of as many columns: [rows, other's]."""
        found = np.zeros((self.shape[0], other.shape[0]))
        for row in range(other.shape[0]):
            inside = other.owners == row
            columns, values = other.columns[inside], other.values[inside]
            if len(columns):
                places = np.minimum(np.searchsorted(columns, self.columns), len(columns) - 1)
                matched = np.where(columns[places] == self.columns, values[places], 0.0)
                found[:, row] = self._summed(self.values * matched)
        return found

    def of_length_one(self) -> "SparseRows":
        """Return the rows divided by their lengths; rows of nothing stay so."""
        lengths = np.sqrt(self._summed(self.values * self.values))
        return SparseRows(self.values / lengths[self.owners], self.columns, self.owners, self.shape)

    def _summed(self, values: Floats) -> Floats:
        """Return the sums [rows] of one number for each value that is kept."""
        # bincount adds one by one, in order; numpy's own sums do so in pairs.
        return np.asarray(np.bincount(self.owners, weights=values, minlength=self.shape[0]), dtype=np.float64)
