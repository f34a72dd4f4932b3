"""The candidates of a multiple-choice question as one tree of tokens, so that all are scored in one forward pass.

Only forks, where candidates continue with different tokens, show which one the model prefers: a candidate's
probability is the product, over the forks on its way, of its token's share among the tokens that the candidates take
there. That is the distribution of an answer under decoding constrained to the candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

#: The fork before any token of a candidate.
ROOT = -1


@dataclass(frozen=True)
class Fork:
    """Where candidates part."""

    after: int
    """Which of the fed tokens stands before it; ROOT for none."""
    tokens: tuple[int, ...]
    """The distinct tokens that candidates continue with."""


@dataclass(frozen=True)
class Trie:
    """A tree of candidates."""

    fed: tuple[int, ...]
    """The tokens that lead to forks beyond the root, each after what leads to it: most questions have none."""
    parents: tuple[int, ...]
    """Which of the fed tokens stands before each; ROOT for none."""
    depths: tuple[int, ...]
    """How many fed tokens stand before each."""
    forks: tuple[Fork, ...]
    ways: tuple[tuple[tuple[int, int], ...], ...]
    """Each candidate's forks with its token's place there."""

    @property
    def branches(self) -> bool:
        """Whether the fed tokens are more than one run."""
        return any(parent != place - 1 for place, parent in enumerate(self.parents))

    def runs(self) -> list[list[int]]:
        """Return the longest runs of fed tokens from the root: every fork lies on one of them."""
        inner = set(self.parents)
        return [self.run(place) for place in range(len(self.fed)) if place not in inner]

    def run(self, place: int) -> list[int]:
        """Return the places of the fed tokens from the root to one of them, it included."""
        found: list[int] = []
        while place != ROOT:
            found.append(place)
            place = self.parents[place]
        return found[::-1]

    def scores(self, logs: Sequence[Sequence[float]]) -> list[float]:
        """Return each candidate's log-probability, given each fork's log-probabilities of its tokens."""
        return [sum(logs[fork][token] for fork, token in way) for way in self.ways]


@dataclass
class _Node:
    children: dict[int, "_Node"] = field(default_factory=dict)
    fork: int = ROOT


def trie_of(candidates: Sequence[Sequence[int]]) -> Trie:
    """Return the tree of candidates, each a list of tokens with its end token; equal ones share their way."""
    root = _Node()
    for candidate in candidates:
        node = root
        for token in candidate:
            node = node.children.setdefault(token, _Node())
    fed: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    forks: list[Fork] = []

    def walk(node: _Node, place: int, depth: int) -> None:
        if len(node.children) > 1:
            node.fork = len(forks)
            forks.append(Fork(place, tuple(node.children)))
        for token, child in node.children.items():
            if _forks_below(child):
                fed.append(token)
                parents.append(place)
                depths.append(depth)
                walk(child, len(fed) - 1, depth + 1)

    walk(root, ROOT, 0)
    ways = []
    for candidate in candidates:
        node, way = root, []
        for token in candidate:
            if node.fork != ROOT:
                way.append((node.fork, forks[node.fork].tokens.index(token)))
            node = node.children[token]
        ways.append(tuple(way))
    return Trie(tuple(fed), tuple(parents), tuple(depths), tuple(forks), tuple(ways))


def _forks_below(node: _Node) -> bool:
    return len(node.children) > 1 or any(_forks_below(child) for child in node.children.values())
