"""Candidates as a tree of tokens: what is fed, where they part, and what that says of each."""

import math
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.models.decoding.trie import ROOT, trie_of

END = 9
CANDIDATES = st.lists(
    st.lists(st.integers(0, 3), max_size=4).map(lambda tokens: [*tokens, END]), min_size=1, max_size=8
)


def test_candidates_that_differ_at_once_feed_nothing() -> None:
    trie = trie_of([[5, 1, END], [6, 1, 2, END], [7, END]])
    assert trie.fed == () and not trie.branches and trie.runs() == []
    assert [(fork.after, fork.tokens) for fork in trie.forks] == [(ROOT, (5, 6, 7))]
    assert trie.scores([[-1.0, -2.0, -3.0]]) == [-1.0, -2.0, -3.0]


def test_a_shared_beginning_is_one_run() -> None:
    trie = trie_of([[4, 5, 1, END], [4, 5, 2, END]])
    assert trie.fed == (4, 5) and not trie.branches
    assert [(fork.after, fork.tokens) for fork in trie.forks] == [(1, (1, 2))]


def test_a_candidate_that_begins_another_ends_at_a_fork() -> None:
    trie = trie_of([[4, END], [4, 5, END]])
    assert trie.fed == (4,) and trie.forks[0].tokens == (END, 5)


def test_rankings_of_four_have_seventeen_forks_and_feed_no_last_letter() -> None:
    comma = 8
    trie = trie_of(
        [[*[token for letter in order for token in (letter, comma)][:-1], END] for order in permutations(range(4))]
    )
    assert Counter(len(fork.tokens) for fork in trie.forks) == {4: 1, 3: 4, 2: 12}
    assert len(trie.fed) == 4 * 2 + 12 * 2 and trie.branches
    assert max(len(run) for run in trie.runs()) == 4 and len(trie.runs()) == 12


@given(CANDIDATES)
def test_scores_are_those_of_writing_token_by_token(candidates: list[list[int]]) -> None:
    trie = trie_of(candidates)

    def weight(before: list[int], token: int) -> float:
        return 1.0 + (sum((place + 2) * one for place, one in enumerate(before)) * 7 + token * 3) % 5

    logs = []
    for fork in trie.forks:
        before = [trie.fed[place] for place in trie.run(fork.after)]
        weights = [weight(before, token) for token in fork.tokens]
        logs.append([math.log(one / sum(weights)) for one in weights])
    expected = []
    for candidate in candidates:
        total = 1.0
        for place, token in enumerate(candidate):
            before = candidate[:place]
            choices = {other[place] for other in candidates if other[:place] == before}
            if len(choices) > 1:
                total *= weight(before, token) / sum(weight(before, choice) for choice in choices)
        expected.append(math.log(total))
    assert trie.scores(logs) == pytest.approx(expected)
    distinct = {tuple(candidate): score for candidate, score in zip(candidates, trie.scores(logs), strict=True)}
    assert sum(math.exp(score) for score in distinct.values()) == pytest.approx(1)


@given(CANDIDATES)
def test_only_what_leads_to_forks_is_fed_each_after_its_parent(candidates: list[list[int]]) -> None:
    trie = trie_of(candidates)
    leading = {
        tuple(one[:length])
        for one in candidates
        for length in range(1, len(one))
        if len({tuple(other) for other in candidates if other[:length] == one[:length]}) > 1
    }
    ways = {tuple(trie.fed[place] for place in trie.run(last)) for last in range(len(trie.fed))}
    assert ways == leading
    assert all(parent < place for place, parent in enumerate(trie.parents))
    assert trie.depths == tuple(len(trie.run(place)) - 1 for place in range(len(trie.fed)))
