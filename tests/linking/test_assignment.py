"""Which pairs are chosen together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecellm.linking.assignment import Pairs, assign, clusters
from ecellm.linking.options import Mode
from ecellm.linking.truth import above

PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), st.floats(0.01, 1.0, allow_nan=False), min_size=1, max_size=12
)


def made(scored: dict[tuple[int, int], float]) -> Pairs:
    left, right = zip(*scored, strict=True)
    return Pairs(np.array(left), np.array(right), np.array(list(scored.values())))


def listed(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


@given(PAIRS)
def test_one_to_one_leaves_no_pair_that_is_likelier_than_those_of_its_records(
    scored: dict[tuple[int, int], float],
) -> None:
    chosen = listed(assign(made(scored), Mode.ONE_TO_ONE))
    assert len({one for one, _ in chosen}) == len({other for _, other in chosen}) == len(chosen)
    for (left, right), probability in scored.items():
        beside = [pair for pair in chosen if pair[0] == left or pair[1] == right]
        assert beside and max(scored[pair] for pair in beside) >= probability


@given(PAIRS, st.floats(0, 1), st.sampled_from(list(Mode)))
def test_a_threshold_may_be_applied_before_or_after(
    scored: dict[tuple[int, int], float], threshold: float, mode: Mode
) -> None:
    pairs = made(scored)
    before = assign(pairs.where(pairs.probability >= threshold), mode)
    assert listed(before) == listed(above(assign(pairs, mode), threshold))


@given(PAIRS)
def test_one_to_many_gives_each_right_record_its_likeliest(scored: dict[tuple[int, int], float]) -> None:
    chosen = listed(assign(made(scored), Mode.ONE_TO_MANY))
    assert sorted(other for _, other in chosen) == sorted({other for _, other in scored})
    for one, other in chosen:
        assert scored[one, other] == max(value for (_, right), value in scored.items() if right == other)
    assert sorted(listed(assign(made(scored), Mode.MANY_TO_MANY))) == sorted(scored)


def test_nothing_is_assigned_where_there_is_nothing() -> None:
    empty = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    assert all(not len(assign(empty, mode)) for mode in Mode)


def test_clusters_are_what_pairs_connect_by_their_first_record() -> None:
    pairs = made({(1, 3): 0.9, (3, 5): 0.6, (2, 4): 0.8})
    assert clusters(pairs, 7).tolist() == [0, 1, 2, 1, 2, 1, 6]
