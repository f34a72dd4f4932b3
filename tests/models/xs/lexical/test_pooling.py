"""Pooling the stack's scores with the linear model's: weights from validation rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.models.xs.examples import CHOICE, EncodedExample
from ecellm.models.xs.lexical.pool_fitting import ScoredCandidates, fit_pool
from ecellm.models.xs.lexical.pooling import EVEN, PoolWeights, pooled
from ecellm.models.xs.validation import Outcome, fit_pools


def rows(count: int, deep: float, lexical: float, seed: int = 0) -> list[ScoredCandidates]:
    """Rows of three candidates whose right one both scores favour, each as far as it says, with noise."""
    drawn = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        right = int(drawn.integers(3))
        favoured = np.arange(3) == right
        one, other = (strength * favoured + drawn.normal(size=3) for strength in (deep, lexical))
        found.append(ScoredCandidates(one.tolist(), other.tolist(), [right]))
    return found


def test_scores_that_say_nothing_weigh_nothing_and_the_other_ones_much() -> None:
    deep, lexical = fit_pool(rows(400, deep=3, lexical=0))
    assert deep > 1
    assert lexical < 0.2
    deep, lexical = fit_pool(rows(400, deep=0, lexical=3))
    assert deep < 0.2
    assert lexical > 1


def test_pooled_scores_are_right_more_often_than_either() -> None:
    fitted, new = fit_pool(rows(400, deep=1.5, lexical=1.5)), rows(1000, deep=1.5, lexical=1.5, seed=1)

    def right(weights: PoolWeights) -> float:
        return float(np.mean([int(np.argmax(pooled(r.deep, r.lexical, weights))) == r.order[0] for r in new]))

    assert right(fitted) > max(right((1.0, 0.0)), right((0.0, 1.0))) + 0.03


def test_classes_of_unequal_shares_get_offsets_that_make_the_right_ones_likelier() -> None:
    """Both scores were made as if classes were even; four rows of five are of the first one."""
    common = [row for row in rows(2000, deep=1, lexical=1) if row.order[0] == 0]
    rare = [row for row in rows(400, deep=1, lexical=1, seed=1) if row.order[0] != 0][: len(common) // 4]
    weights = fit_pool([*common, *rare], classes=3)
    assert len(weights) == 5
    assert weights[2] > weights[3] + 0.5
    assert weights[3] == pytest.approx(weights[4], abs=0.3)
    without = fit_pool([*common, *rare])

    def likelihood(chosen: PoolWeights) -> float:
        scores = [(np.array(pooled(row.deep, row.lexical, chosen)), row.order[0]) for row in (*common, *rare)]
        return float(np.mean([found[right] - np.logaddexp.reduce(found) for found, right in scores]))

    assert likelihood(weights) > likelihood(without) + 0.05


@pytest.mark.parametrize(("task", "counted"), [("MPC", True), ("PRP", False)])
def test_shares_count_where_the_metric_weighs_rows_and_not_where_it_weighs_classes_evenly(
    task: str, counted: bool
) -> None:
    common = [row for row in rows(2000, deep=1, lexical=1) if row.order[0] == 0]
    rare = [row for row in rows(400, deep=1, lexical=1, seed=1) if row.order[0] != 0]
    found = [
        Outcome(
            EncodedExample(CHOICE, task, [], tokens=[1, 2, 3], lexical=list(row.lexical), label=row.order[0]),
            loss=1.0,
            scores=tuple(row.deep),
        )
        for row in (*common, *rare)
    ]
    assert len(fit_pools(found)[task]) == (5 if counted else 2)


def test_even_classes_get_offsets_that_change_little() -> None:
    _, _, *offsets = fit_pool(rows(600, deep=1.5, lexical=1.5), classes=3)
    assert np.ptp(offsets) < 0.3


def test_too_few_rows_decide_nothing() -> None:
    assert fit_pool(rows(39, deep=3, lexical=0)) == EVEN
    without = [ScoredCandidates(row.deep, [], row.order) for row in rows(100, deep=3, lexical=0)]
    assert fit_pool(without) == EVEN


def test_whole_orders_are_fitted_as_plackett_luce() -> None:
    """Orders that follow one score strictly give it all the weight."""
    drawn = np.random.default_rng(0)
    listed = []
    for _ in range(100):
        one, other = drawn.normal(size=4), drawn.normal(size=4)
        listed.append(ScoredCandidates(one.tolist(), other.tolist(), np.argsort(-one).tolist()))
    deep, lexical = fit_pool(listed)
    assert deep > 3
    assert lexical < deep / 20


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_without_lexical_scores_the_stacks_stand_as_they_are(deep: list[float]) -> None:
    assert pooled(deep, [], (0.3, 0.7)) == deep
    assert pooled(deep, deep, (0.5, 0.5)) == pytest.approx(deep)
