"""Decisions by probability: thresholds, counts, and the expected error rate of what is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.errors import ConfigError
from ecellm.inference.decisions import Decision, DecisionThresholds, count_decisions

PROBABILITIES = st.floats(0, 1)


def test_both_thresholds_belong_to_the_decision_above_them() -> None:
    thresholds = DecisionThresholds(0.9, 0.5)
    found = [thresholds.decide(probability) for probability in (1.0, 0.9, 0.89, 0.5, 0.49, 0.0, None)]
    accept, review, reject = Decision
    assert found == [accept, accept, review, review, reject, reject, review]


@given(st.lists(PROBABILITIES, max_size=20), PROBABILITIES, PROBABILITIES)
def test_each_answer_has_one_decision_and_more_are_accepted_at_lower_thresholds(
    probabilities: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    strict = count_decisions(DecisionThresholds(high, low), probabilities)
    loose = count_decisions(DecisionThresholds(low, low), probabilities)
    assert sum(strict.counts.values()) == sum(loose.counts.values()) == len(probabilities)
    assert strict.counts[Decision.ACCEPT] <= loose.counts[Decision.ACCEPT]
    assert loose.counts[Decision.REVIEW] == 0


def test_the_expected_error_rate_is_of_the_accepted_answers() -> None:
    found = count_decisions(DecisionThresholds(0.8, 0.5), [0.9, 0.8, 0.6, 0.1])
    assert found.expected_error_rate == pytest.approx(0.15)
    assert found.summary() == "2 accepted (expected error rate 15.0%), 1 for review, 1 rejected"
    assert count_decisions(DecisionThresholds(1), [0.5]).expected_error_rate is None


@pytest.mark.parametrize(("accept", "review"), [(0.5, 0.6), (1.5, 0.5), (0.5, -0.1)])
def test_thresholds_that_make_no_sense_are_refused(accept: float, review: float) -> None:
    with pytest.raises(ConfigError, match="--review is at most --accept"):
        DecisionThresholds(accept, review)
