"""Candidates: for each record the few of the other catalogue that may be the same product.

Two searches are merged. The lexical one compares the words of titles (TF-IDF, cosine); words in too many titles are
not searched by, so that the work for one record does not grow with the catalogue. The other compares embeddings of
titles by all-MiniLM-L6-v2. The score of a candidate is the lexical cosine plus a part of the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from ecellm.linking.embeddings import Embeddings

Numbers = NDArray[np.int64]
Scores = NDArray[np.float32]
Progress = Callable[[int, int], None]

#: How much the cosine of two embeddings counts beside that of their words. On the Amazon-Google products .25 to 1 are
#: alike within .4 points of recall at 10, and better than either search alone.
EMBEDDING_WEIGHT = 0.5
#: Candidates that each search proposes, as a multiple of those that remain.
DEPTH = 3
#: Records that a word may be in to be searched by.
MAX_POSTINGS = 2000
#: Records searched at a time, and the cells of a block of similarities.
AT_ONCE, MAX_CELLS = 1024, 16_000_000
WORD = r"(?u)\w+"


@dataclass(frozen=True)
class Candidates:
    """Pairs of records by their places, those of one left record together and best first."""

    left: Numbers
    right: Numbers
    score: Scores


def find_candidates(
    left: Sequence[str],
    right: Sequence[str] | None,
    k: int,
    embeddings: Embeddings | None = None,
    progress: Progress = lambda done, total: None,
) -> Candidates:
    """Return the `k` likeliest candidates of each left title; ties go to the first.

    Without `right` the candidates are within `left`, each pair once, the first record on the left. Without
    `embeddings` the search is lexical alone.
    """
    own, others = _word_vectors(left, right)
    states = None if embeddings is None else embeddings.of([*left, *(right or ())])
    mine, theirs = (None, None) if states is None else (states[: len(left)], states[-len(right or left) :])
    searched = _without_frequent(others)
    found: list[Candidates] = []
    for first in range(0, len(left), AT_ONCE):
        block = slice(first, min(first + AT_ONCE, len(left)))
        proposed = [_lexical(own[block], searched, DEPTH * k + 1)]
        if mine is not None and theirs is not None:
            proposed.append(_nearest(mine[block], theirs, DEPTH * k + 1))
        rows, columns = (np.concatenate(part) for part in zip(*proposed, strict=True))
        rows, columns = np.unique(np.stack([rows, columns]), axis=1) if len(rows) else (rows, columns)
        if right is None:
            rows, columns = rows[rows + first != columns], columns[rows + first != columns]
        score = np.asarray(own[block][rows].multiply(others[columns]).sum(axis=1)).ravel()
        if mine is not None and theirs is not None:
            score = score + EMBEDDING_WEIGHT * np.einsum("nd,nd->n", mine[block][rows], theirs[columns])
        found.append(_best(rows + first, columns, score.astype(np.float32), k))
        progress(block.stop, len(left))
    merged = Candidates(
        np.concatenate([one.left for one in found]),
        np.concatenate([one.right for one in found]),
        np.concatenate([one.score for one in found]),
    )
    return merged if right is not None else _each_once(merged)


def _word_vectors(left: Sequence[str], right: Sequence[str] | None) -> tuple[csr_matrix, csr_matrix]:
    """Return unit vectors of words [records, words], sublinear TF-IDF over both catalogues."""
    vectorizer = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True, dtype=np.float32)
    try:
        vectors = csr_matrix(vectorizer.fit_transform([*left, *(right or ())]))
    except ValueError:  # no title has a word
        vectors = csr_matrix(np.zeros((len(left) + len(right or ()), 1), np.float32))
    return vectors[: len(left)], vectors[-len(right or left) :]


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
    kept = Candidates(*(np.empty(0, np.int64),) * 2, np.empty(0, np.float32))
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
    begins = np.searchsorted(left, left, side="left")
    chosen = np.arange(len(left)) - begins < k
    return Candidates(left[chosen], right[chosen], score[chosen])


def _each_once(found: Candidates) -> Candidates:
    """Return pairs within one catalogue with the first record on the left, without those found from both sides."""
    low, high = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
    order = np.lexsort((high, -found.score, low))
    low, high, score = low[order], high[order], found.score[order]
    _, first = np.unique(np.stack([low, high]), axis=1, return_index=True)
    first.sort()
    return Candidates(low[first], high[first], score[first])
