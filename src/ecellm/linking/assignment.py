"""Which of the pairs that a model takes for matches are chosen together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

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
    """Return the pairs that hold together, in the order given; no pair may stand twice."""
    if mode is Mode.MANY_TO_MANY or not len(pairs):
        return pairs
    if mode is Mode.ONE_TO_MANY:
        order = np.lexsort((pairs.left, -pairs.probability, pairs.right))
        _, first = np.unique(pairs.right[order], return_index=True)
        return pairs.where(np.sort(order[first]))
    return _one_to_one(pairs)


def _one_to_one(pairs: Pairs) -> Pairs:
    """Solve the assignment problem on a sparse graph (Jonker and Volgenant 1987, in scipy).

    Every left record may also stay alone, at the cost of a pair of probability 0, so that a full matching exists.
    """
    _, left = np.unique(pairs.left, return_inverse=True)
    _, right = np.unique(pairs.right, return_inverse=True)
    lefts, rights = int(left.max()) + 1, int(right.max()) + 1
    alone = np.arange(lefts)
    # Costs are above 0, as sparse graphs have no edge of weight 0.
    costs = np.concatenate([2.0 - pairs.probability, np.full(lefts, 2.0)])
    rows, columns = np.concatenate([left, alone]), np.concatenate([right, rights + alone])
    graph = coo_matrix((costs, (rows, columns)), shape=(lefts, rights + lefts)).tocsr()
    matched_left, matched_right = min_weight_full_bipartite_matching(graph)
    partner = np.full(lefts, -1)
    partner[matched_left] = matched_right
    return pairs.where(partner[left] == right)


def clusters(pairs: Pairs, records: int) -> Numbers:
    """Return, for each record of one catalogue, the first of those that it is connected with by pairs, [records]."""
    graph = coo_matrix((np.ones(len(pairs)), (pairs.left, pairs.right)), shape=(records, records))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    found: Numbers = first[inverse]
    return found
