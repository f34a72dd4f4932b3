"""Temperatures: found on made data, and lower the calibration error."""

import math

import numpy as np
import pytest

from ecellm.evaluation.calibration_error import calibration_error, calibration_stats
from ecellm.models.calibration.temperature import ScoredRow, fit_temperature


def made(count: int, temperature: float, candidates: tuple[int, ...] = (2, 5)) -> list[ScoredRow]:
    """Rows whose right answer is drawn from their scores over `temperature`."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(count):
        scores = rng.normal(0, 3, candidates[number % len(candidates)])
        shares = np.exp(scores / temperature)
        rows.append((scores.tolist(), int(rng.choice(len(scores), p=shares / shares.sum()))))
    return rows


def shares(scores: list[float], temperature: float) -> list[float]:
    weights = [math.exp(score / temperature) for score in scores]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_rows_were_drawn_at_is_found(temperature: float) -> None:
    assert fit_temperature(made(4000, temperature)) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_calibration_error_falls_on_rows_that_were_not_fitted_on(temperature: float) -> None:
    rows = made(4000, temperature)
    fitted = fit_temperature(rows[:1500])

    def error(by: float) -> float:
        found = [(shares(list(scores), by), right) for scores, right in rows[1500:]]
        hits = np.array([float(one.index(max(one)) == right) for one, right in found])
        return float(calibration_error(calibration_stats([max(one) for one, _ in found], hits).sum(0))["ece"])

    assert error(fitted) < min(0.04, error(1.0) / 2)
