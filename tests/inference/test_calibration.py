"""Temperatures: found on made data, lower the calibration error, change no answer, and stay with the model."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecellm.dataset.dataset import MANIFEST, Asked, write_split
from ecellm.inference.calibration import (
    FEWEST_ROWS,
    Scored,
    calibrate,
    calibration_error,
    calibration_rows,
    fit_temperature,
    fit_temperatures,
)
from ecellm.inference.closed import candidates_of, closed_reply
from ecellm.inference.generator import Question, Reply
from ecellm.keys import keyed_number
from ecellm.models.folder import read_facts, write_facts
from ecellm.records import Sample
from scored import ScoredGenerator


def made(count: int, temperature: float, candidates: tuple[int, ...] = (2, 5)) -> list[Scored]:
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
        return calibration_error(
            [max(one) for one, _ in found], [one.index(max(one)) == right for one, right in found]
        )

    assert error(fitted) < min(0.04, error(1.0) / 2)


def test_the_calibration_error_is_the_mean_distance_in_bins() -> None:
    # .9 and .95 in one bin, half right; 1.0 in the same bin, right; .55 in a bin of its own, wrong
    found = calibration_error([0.9, 0.95, 1.0, 0.55], [True, False, True, False])
    assert found == pytest.approx((abs(2.85 - 2) + 0.55) / 4)
    assert calibration_error([1.0, 1.0], [True, True]) == 0


def sample(number: int, task: str = "PM") -> Sample:
    text = json.dumps({"product 1": {"title": f"mug {number}"}, "product 2": {"title": "mug"}})
    return Sample(f"{task}-{number}", task, "IND", "validation", text, None, "yes" if number % 3 else "no")


class Temperate(ScoredGenerator):
    """Too sure of itself, at the temperatures that it is given; right in four of five rows."""

    def __init__(self, temperatures: dict[str, float], offsets: dict[str, list[float]]) -> None:
        super().__init__()
        self.temperatures, self.offsets = temperatures, offsets

    def _reply(self, question: Question) -> Reply:
        one = question.asked.sample
        right = keyed_number(0, one.id) < 0.8
        logs = [9.0 if (text == one.output) == right else 0.0 for text in candidates_of(one) or ()]
        return closed_reply(one, logs, self.offsets, self.temperatures)


def test_temperatures_change_probabilities_and_no_answer() -> None:
    asked = [Asked(sample(number), "Same?") for number in range(200)]
    for offsets in ({}, {"PM": [0.0, 20.0]}):
        before = Temperate({}, offsets)
        fitted = fit_temperatures(before, asked)
        assert 4 < fitted["PM"] < 9
        after = Temperate(fitted, offsets)
        questions = [Question(one, prompt) for one, prompt in zip(asked, after.prompts(asked), strict=True)]
        assert [one.text for one in map(before._reply, questions)] == [
            one.text for one in map(after._reply, questions)
        ]
        # Fitted again, they stay as they are.
        assert fit_temperatures(after, asked, fitted) == pytest.approx(fitted, rel=1e-3)


def test_tasks_with_few_rows_and_open_ones_are_left_alone() -> None:
    rows = [Asked(sample(number), "Same?") for number in range(FEWEST_ROWS - 1)]
    question = json.dumps({"question": "loud?", "document": ["quiet"]})
    rows += [Asked(Sample(f"AG-{n}", "AG", "IND", "validation", question, None, "x"), "?") for n in range(400)]
    assert calibration_rows(rows, 1) == []
    rows.append(Asked(sample(1000), "Same?"))
    assert len(calibration_rows(rows, 1)) == FEWEST_ROWS and calibration_rows(rows, 1, ["AG"]) == []
    many = [Asked(sample(number), "Same?") for number in range(1000)]
    assert calibration_rows(many, 1) == calibration_rows(many[::-1], 1) and len(calibration_rows(many, 1)) == 300


def test_temperatures_are_saved_with_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str, str]]
) -> None:
    model, data = tmp_path / "model", tmp_path / "data"
    model.mkdir()
    data.mkdir()
    write_facts(model, {"recipe": {"family": "causal"}, "offsets": {}, "temperatures": {"SA": 2.0}})
    monkeypatch.setattr(
        "ecellm.inference.load.load_generator", lambda folder: Temperate(read_facts(folder)["temperatures"], {})
    )
    samples = [sample(number) for number in range(50)]
    for split in ("train", "validation", "test"):
        write_split(samples if split == "validation" else [], data / f"{split}.parquet")
    (data / MANIFEST).write_text('{"seed": 1}')
    code, said, error = run("calibrate", model, "--data", data)
    assert code == 0, error
    facts = read_facts(model)
    assert facts["temperatures"]["SA"] == 2.0 and facts["temperatures"]["PM"] > 2
    assert f"PM {facts['temperatures']['PM']:.2f}" in said
    again = calibrate(model, [Asked(one, "Same?") for one in samples], 1)
    assert again == pytest.approx({"PM": facts["temperatures"]["PM"]}, rel=1e-3)
    write_split(samples[:5], data / "validation.parquet")
    code, _, error = run("calibrate", model, "--data", data)
    assert code == 1 and "no closed task with 40 validation rows" in error
