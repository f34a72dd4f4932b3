"""Near-duplicates: texts whose runs of words are nearly the same, found by MinHash."""

import re
from collections.abc import Iterator, Sequence

from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

#: Two texts are near-duplicates from this Jaccard likeness of their word runs on.
NEAR, RUN, PERMUTATIONS = 0.8, 3, 128
#: Texts hashed at a time.
AT_ONCE = 1_000

WORD = re.compile(r"\w+")


class NearIndex:
    """Texts to which others are compared."""

    def __init__(self) -> None:
        """Begin with none."""
        self._index = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS)
        self._known: list[tuple[str, MinHash]] = []

    def add(self, texts: Sequence[str]) -> None:
        """Add texts."""
        for text, hashed in zip(texts, _hashes(texts), strict=True):
            self._index.insert(len(self._known), hashed)
            self._known.append((text, hashed))

    def near(self, texts: Sequence[str]) -> list[bool]:
        """Say of each text whether it is nearly, and not exactly, one of those added."""
        if not self._known:
            return [False] * len(texts)
        return [self._is_near(text, hashed) for text, hashed in zip(texts, _hashes(texts), strict=True)]

    def _is_near(self, text: str, hashed: MinHash) -> bool:
        alike = (self._known[place] for place in self._index.query(hashed))
        return any(known != text and hashed.jaccard(other) >= NEAR for known, other in alike)


def _hashes(texts: Sequence[str]) -> Iterator[MinHash]:
    for start in range(0, len(texts), AT_ONCE):
        runs = [_runs(text) for text in texts[start : start + AT_ONCE]]
        yield from MinHash.bulk(runs, num_perm=PERMUTATIONS, seed=1)


def _runs(text: str) -> list[bytes]:
    """Return the text's runs of words, lower-cased; of a short text, all of it."""
    words = WORD.findall(text.lower())
    runs = {" ".join(words[place : place + RUN]) for place in range(max(1, len(words) - RUN + 1))}
    return [run.encode() for run in sorted(runs)]
