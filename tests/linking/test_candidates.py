"""Candidates: the nearest titles by words, and by what they mean."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.linking import candidates
from ecellm.linking.candidates import Candidates, Texts, find_candidates
from ecellm.linking.embeddings import Embeddings

VOCABULARY = ("mug", "lamp", "pan", "steel", "red", "12oz", "v7", "v8")
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join)
TITLES = st.lists(WORDS, min_size=1, max_size=12)


def search(left: list[str], right: list[str] | None, k: int, embeddings: Embeddings | None = None) -> Candidates:
    texts = [None if titles is None else Texts(titles, [""] * len(titles)) for titles in (left, right)]
    assert texts[0] is not None
    return find_candidates(texts[0], texts[1], k, embeddings)


def pairs(found: Candidates) -> list[tuple[int, int]]:
    return list(zip(found.left.tolist(), found.right.tolist(), strict=True))


@given(left=TITLES, right=TITLES, k=st.integers(1, 4))
def test_each_record_has_its_best_candidates_first(left: list[str], right: list[str], k: int) -> None:
    found = search(left, right, k)
    for place, title in enumerate(left):
        mine = found.left == place
        sharing = [number for number, other in enumerate(right) if set(title.split()) & set(other.split())]
        assert mine.sum() == min(k, len(sharing)) and set(found.right[mine].tolist()) <= set(sharing)
        assert (np.diff(found.score[mine]) <= 0).all()


@given(titles=TITLES, k=st.integers(1, 4))
def test_within_one_catalogue_a_pair_stands_once_and_no_record_beside_itself(titles: list[str], k: int) -> None:
    found = pairs(search(titles, None, k))
    assert all(one < other for one, other in found) and len(set(found)) == len(found)


def test_a_table_of_one_row_has_no_candidates_of_its_own() -> None:
    assert pairs(search(["mug"], None, 5)) == []
    assert pairs(search(["mug"], ["mug"], 5)) == [(0, 0)]
    assert pairs(search(["***"], ["!!!"], 5)) == []


def test_other_fields_decide_among_equal_titles() -> None:
    numbers = [f"TS-{number:03}" for number in range(40)]
    shirts = Texts(["basic t-shirt"] * 40, numbers)
    found = find_candidates(shirts, Texts(["basic t-shirt"] * 40, numbers[::-1]), 1)
    assert pairs(found) == [(place, 39 - place) for place in range(40)]


def test_a_pair_within_one_catalogue_has_its_better_rank() -> None:
    found = search(["red mug", "red mug xl", "red mug xl steel", "red mug xl steel pan"], None, 2)
    ranks = dict(zip(pairs(found), found.rank.tolist(), strict=True))
    assert set(ranks.values()) == {0, 1} and ranks[2, 3] == 0


def test_more_candidates_than_records_are_all_of_them() -> None:
    assert pairs(search(["mug"], ["mug", "red mug"], 10**12, Letters())) == [(0, 0), (0, 1)]  # type: ignore[arg-type]


def test_words_of_too_many_records_are_not_searched_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_POSTINGS", 2)
    right = ["red mug", "red lamp", "red pan"]
    assert pairs(search(["red pan", "red"], right, 3)) == [(0, 2)]


@settings(max_examples=20)
@given(left=TITLES, right=TITLES, k=st.integers(1, 3), block=st.integers(1, 5))
def test_blocks_change_nothing(left: list[str], right: list[str], k: int, block: int) -> None:
    whole = search(left, right, k)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(candidates, "AT_ONCE", block)
        assert pairs(search(left, right, k)) == pairs(whole)


class Letters:
    """Embeddings by the letters of a text, as of the encoder in form."""

    def of(self, texts: list[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        """Return unit vectors [texts, 26]."""
        counts = np.array([[text.count(chr(97 + letter)) for letter in range(26)] for text in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


@settings(max_examples=30)
@given(left=TITLES, right=TITLES, k=st.integers(1, 4), cells=st.integers(1, 20))
def test_the_nearest_embeddings_are_those_of_all(left: list[str], right: list[str], k: int, cells: int) -> None:
    one, other = Letters().of(left), Letters().of(right)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(candidates, "MAX_CELLS", cells)
        rows, columns = candidates._nearest(one, other, k)
    similar = one @ other.T
    for place in range(len(left)):
        mine = np.sort(similar[place, columns[rows == place]])[::-1]
        assert mine == pytest.approx(np.sort(similar[place])[::-1][:k], abs=1e-6)


def test_embeddings_find_what_shares_no_word() -> None:
    right = ["garden hose 20 m", "sofa for three people", "kitchen knife"]
    assert pairs(search(["three-seat couch"], right[:1] + right[2:], 1)) == []
    done: list[tuple[int, int]] = []
    embeddings = Embeddings(lambda now, total: done.append((now, total)))
    assert pairs(search(["comfy couch"], right, 1, embeddings)) == [(0, 1)]
    assert done[-1] == (4, 4)
    states = embeddings.of(["mug", "lamp", "mug"])
    assert np.linalg.norm(states, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert (states[0] == states[2]).all() and re.match("MiniLM|Bert", type(embeddings.body).__name__)
