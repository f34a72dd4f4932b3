"""Candidates: for each record the few of the other catalogue that may be the same product.

Two searches are merged. The lexical one compares the words of titles, and with less weight those of other fields
(TF-IDF, cosine); words in too many records are not searched by, so that the work for one record does not grow with
the catalogue. The other compares embeddings of titles by all-MiniLM-L6-v2. The score of a candidate is the lexical
cosine plus a part of the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from ecellm.linking.embeddings import Embeddings

Numbers = NDArray[np.int64]
Scores = NDArray[np.float32]
Progress = Callable[[int, int], None]

#: How much the cosine of two embeddings counts beside that of their words. On the Amazon-Google products, by
#: titles alone, recall at 10 is .976 for words, .951 for embeddings, and .979, .981 and .975 for .25, .5 and 1.
EMBEDDING_WEIGHT = 0.5
#: How much the words of other fields count beside those of titles: among equal titles they decide.
OTHERS_WEIGHT = 0.2
#: Candidates that each search proposes, as a multiple of those that remain.
DEPTH = 3
#: Records that a word may be in to be searched by.
MAX_POSTINGS = 2000
#: Records searched at a time, and the cells of a block of similarities.
AT_ONCE, MAX_CELLS = 1024, 16_000_000
WORD = r"(?u)\w+"


@dataclass(frozen=True)
class Candidates:
    """Pairs of records by their places, those of one left record together: best first between two catalogues, in the
    order of the other record within one."""

    left: Numbers
    right: Numbers
    score: Scores
    rank: Numbers
    """From 0, among the candidates of either record where both are of one catalogue."""


@dataclass(frozen=True)
class Texts:
    """What records are searched by, each [records]: their titles, and their other fields."""

    titles: Sequence[str]
    others: Sequence[str]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.titles)


def find_candidates(
    left: Texts,
    right: Texts | None,
    k: int,
    embeddings: Embeddings | None = None,
    progress: Progress = lambda done, total: None,
) -> Candidates:
    """Return the `k` likeliest candidates of each left record; ties go to the first.

    Without `right` the candidates are within `left`, each pair once, the first record on the left. Without
    `embeddings` the search is lexical alone.
    """
    within, right = right is None, right or left
    k = min(k, len(right))
    own, others = _word_vectors(left, right)
    states = None if embeddings is None else embeddings.of([*left.titles, *right.titles])
    searched = _without_frequent(others)
    found: list[Candidates] = []
    for first in range(0, len(left), AT_ONCE):
        block = slice(first, min(first + AT_ONCE, len(left)))
        proposed = [_lexical(own[block], searched, DEPTH * k + 1)]
        if states is not None:
            proposed.append(_nearest(states[block], states[len(left) :], DEPTH * k + 1))
        rows, columns = (np.concatenate(part) for part in zip(*proposed, strict=True))
        rows, columns = np.unique(np.stack([rows, columns]), axis=1) if len(rows) else (rows, columns)
        if within:
            rows, columns = rows[rows + first != columns], columns[rows + first != columns]
        score = np.asarray(own[block][rows].multiply(others[columns]).sum(axis=1)).ravel()
        if states is not None:
            score = score + EMBEDDING_WEIGHT * np.einsum("nd,nd->n", states[block][rows], states[len(left) + columns])
        found.append(_best(rows + first, columns, score.astype(np.float32), k))
        progress(block.stop, len(left))
    parts = zip(*((one.left, one.right, one.score, one.rank) for one in found), strict=True)
    merged = Candidates(*(np.concatenate(part) for part in parts))
    return _each_once(merged) if within else merged


def _word_vectors(left: Texts, right: Texts) -> tuple[csr_matrix, csr_matrix]:
    """Return unit vectors of words [records, words], sublinear TF-IDF over both catalogues."""
    vectorizer = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True, dtype=np.float32)
    titles, others = [*left.titles, *right.titles], [*left.others, *right.others]
    try:
        vectorizer.fit([f"{title} {other}" for title, other in zip(titles, others, strict=True)])
    except ValueError:  # no record has a word
        nothing = csr_matrix(np.zeros((len(titles), 1), np.float32))
        return nothing[: len(left)], nothing[len(left) :]
    vectors = vectorizer.transform(titles) + OTHERS_WEIGHT * vectorizer.transform(others)
    unit = csr_matrix(normalize(vectors))
    return unit[: len(left)], unit[len(left) :]


def _without_frequent(vectors: csr_matrix) -> csr_matrix:
    """Return the vectors without the words that more than MAX_POSTINGS of the records have, [words, records]."""
    turned = csr_matrix(vectors.T)
    counts = np.diff(turned.indptr)
    turned.data[np.repeat(counts > MAX_POSTINGS, counts)] = 0
    turned.eliminate_zeros()
    return turned


def _lexical(vectors: csr_matrix, searched: csr_matrix, k: int) -> tuple[Numbers, Numbers]:
    """Return the places (row, column) of the `k` most similar records that share a word."""
    similar = csr_matrix(vectors @ searched)
    similar.sort_indices()
    rows = np.repeat(np.arange(similar.shape[0]), np.diff(similar.indptr))
    best = _best(rows, similar.indices.astype(np.int64), similar.data, k)
    return best.left, best.right


def _nearest(states: Scores, others: Scores, k: int) -> tuple[Numbers, Numbers]:
    """Return the places of the `k` nearest embeddings, by blocks of the others."""
    step = max(k, MAX_CELLS // max(1, len(states)))
    rows = np.repeat(np.arange(len(states)), k)
    kept = _best(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), k)
    for first in range(0, len(others), step):
        similar = states @ others[first : first + step].T
        most = min(k, similar.shape[1])
        places = np.argpartition(-similar, most - 1, axis=1)[:, :most]
        kept = _best(
            np.concatenate([kept.left, rows.reshape(-1, k)[:, :most].ravel()]),
            np.concatenate([kept.right, places.ravel() + first]),
            np.concatenate([kept.score, np.take_along_axis(similar, places, axis=1).ravel()]),
            k,
        )
    return kept.left, kept.right


def _best(left: Numbers, right: Numbers, score: Scores, k: int) -> Candidates:
    """Return the `k` best pairs of each left record, best first; ties go to the first on the right."""
    order = np.lexsort((right, -score, left))
    left, right, score = left[order], right[order], score[order]
    rank = np.arange(len(left)) - np.searchsorted(left, left, side="left")
    chosen = rank < k
    return Candidates(left[chosen], right[chosen], score[chosen], rank[chosen])


def _each_once(found: Candidates) -> Candidates:
    """Return pairs within one catalogue with the first record on the left, of those found from both sides the better
    ranked."""
    low, high = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
    order = np.lexsort((found.rank, high, low))
    low, high, score, rank = low[order], high[order], found.score[order], found.rank[order]
    first = np.ones(len(low), np.bool_)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return Candidates(low[first], high[first], score[first], rank[first])
