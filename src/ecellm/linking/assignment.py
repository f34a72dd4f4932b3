"""Which of the pairs that a model takes for matches are chosen together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ecellm.linking.options import Mode

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of records by their places, with the probability that both are one product; all [pairs]."""

    left: Numbers
    right: Numbers
    probability: Floats

    def where(self, chosen: NDArray[np.bool_] | Numbers) -> "Pairs":
        """Return some of them."""
        return Pairs(self.left[chosen], self.right[chosen], self.probability[chosen])

    def __len__(self) -> int:
        """Return their number."""
        return len(self.left)


def assign(pairs: Pairs, mode: Mode) -> Pairs:
    """Return the pairs that hold together, the likeliest first; no pair may stand twice.

    Those above a threshold are the same whether it is applied before or after.
    """
    pairs = pairs.where(np.lexsort((pairs.right, pairs.left, -pairs.probability)))
    if mode is Mode.ONE_TO_ONE:
        return _one_to_one(pairs)
    if mode is Mode.ONE_TO_MANY:
        _, first = np.unique(pairs.right, return_index=True)
        return pairs.where(np.sort(first))
    return pairs


def _one_to_one(pairs: Pairs) -> Pairs:
    """Take each pair, the likeliest first, whose records have no partner yet (unique mapping clustering, Papadakis et
    al., VLDB Journal 2023)."""
    taken_left, taken_right = set[int](), set[int]()
    chosen = np.zeros(len(pairs), np.bool_)
    for place, (left, right) in enumerate(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)):
        if left not in taken_left and right not in taken_right:
            chosen[place] = True
            taken_left.add(left)
            taken_right.add(right)
    return pairs.where(chosen)


def clusters(pairs: Pairs, records: int) -> Numbers:
    """Return, for each record of one catalogue, the first of those that it is connected with by pairs, [records]."""
    graph = coo_matrix((np.ones(len(pairs)), (pairs.left, pairs.right)), shape=(records, records))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    found: Numbers = first[inverse]
    return found
