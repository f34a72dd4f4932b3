"""Intervals: near the textbook's for an accuracy, the same for the same seed, of plausible coverage."""

import time

import numpy as np
import pytest

from ecellm.evaluation.bootstrap import intervals
from ecellm.evaluation.metrics import hit_figures, macro_figures


def hits(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones(len(values))], axis=1).astype(float)


def test_an_accuracys_interval_is_near_the_normal_one() -> None:
    stats = hits(np.arange(1000) % 4 == 0)
    low, high = intervals(stats, hit_figures, 1, "PM")["hr@1"]
    margin = 1.96 * np.sqrt(0.25 * 0.75 / 1000)
    assert (low, high) == pytest.approx((0.25 - margin, 0.25 + margin), abs=0.004)


def test_seed_and_key_decide() -> None:
    stats = hits(np.arange(50) % 3 == 0)
    first = intervals(stats, hit_figures, 1, "PM", "IND")
    assert first == intervals(stats, hit_figures, 1, "PM", "IND")
    assert first != intervals(stats, hit_figures, 2, "PM", "IND")


def test_rows_that_agree_leave_no_doubt() -> None:
    assert intervals(hits(np.ones(20)), hit_figures, 1)["hr@1"] == (1.0, 1.0)
    assert intervals(hits(np.zeros(1)), hit_figures, 1)["hr@1"] == (0.0, 0.0)


def test_coverage_of_the_true_rate() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for trial in range(100):
        stats = hits(generator.random(200) < 0.3)
        low, high = intervals(stats, hit_figures, trial)["hr@1"]
        covered += low <= 0.3 <= high
    assert 88 <= covered <= 100


def test_chunks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = hits(np.arange(60) % 3 == 0)
    whole = intervals(stats, hit_figures, 1)
    monkeypatch.setattr("ecellm.evaluation.bootstrap.CELLS_AT_ONCE", 60 * 7)
    assert intervals(stats, hit_figures, 1) == whole


def test_ten_thousand_rows_take_a_second_or_two() -> None:
    stats = np.eye(30)[np.arange(10_000) % 30]
    start = time.perf_counter()
    found = intervals(stats, lambda sums: macro_figures(sums.reshape(-1, 5, 6), "labels"), 1)
    assert set(found) == {"accuracy", "macro_precision", "macro_recall", "macro_f1"}
    assert time.perf_counter() - start < 10
