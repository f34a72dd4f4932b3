"""Intervals: near the textbook's for an accuracy, the same for the same seed, of plausible coverage."""

import numpy as np
import pytest

from ecellm.evaluation.bootstrap import intervals
from ecellm.tasks.metrics import binary_figures, hit_figures, macro_figures


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


def test_an_f1s_interval_is_near_the_delta_methods() -> None:
    """F1 = 2 tp / (2 tp + fp + fn) is a ratio of two means, whose variance the delta method gives."""
    generator = np.random.default_rng(1)
    labels = (generator.random(1000) > 0.3).astype(int)
    answers = np.where(generator.random(1000) < 0.8, labels, 1 - labels)
    stats = np.eye(6)[labels * 3 + answers]
    both_yes, apart = (labels + answers == 0).astype(float), (labels != answers).astype(float)
    base = 2 * both_yes.mean() + apart.mean()
    f1 = 2 * both_yes.mean() / base
    error = (2 * both_yes * (1 - f1) - apart * f1).std() / base / np.sqrt(1000)
    found = intervals(stats, lambda sums: binary_figures(sums.reshape(-1, 2, 3)), 1)["f1"]
    assert found == pytest.approx((f1 - 1.96 * error, f1 + 1.96 * error), abs=0.006)


def test_a_macro_f1s_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)

    def draw(rows: int) -> np.ndarray:
        labels = generator.choice(4, rows, p=[0.5, 0.3, 0.1, 0.1])
        answers = np.where(generator.random(rows) < 0.6, labels, generator.integers(0, 4, rows))
        return np.eye(20)[labels * 5 + answers]

    def macro_f1(sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"f1": macro_figures(sums.reshape(*sums.shape[:-1], 4, 5), "labels")["macro_f1"]}

    true = macro_f1(draw(500_000).sum(0))["f1"]
    found = [intervals(draw(300), macro_f1, trial)["f1"] for trial in range(100)]
    assert 88 <= sum(low <= true <= high for low, high in found) <= 100
