"""Which checkpoint XS keeps: the last whose validation score is within noise of the highest."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.data.dataset import Dataset
from ecellm.models.xs import trainer
from ecellm.models.xs.validation import is_within_noise
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune


def test_noise_is_a_standard_error_of_a_share_of_a_half() -> None:
    assert is_within_noise(0.5, 0.51, rows=2_500) and not is_within_noise(0.499, 0.51, rows=2_500)


@given(score=st.floats(0, 1), rows=st.integers(0, 10_000))
def test_a_score_is_within_noise_of_itself_whatever_the_rows(score: float, rows: int) -> None:
    assert is_within_noise(score, score, rows)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [([0.1, 0.9, 0.85, 0.2], 2), ([0.1, 0.5, 0.9, 0.89], 3), ([0.9, 0.1, 0.1, 0.1], 0), ([0.1, 0.2, 0.3, 0.9], 3)],
)
def test_the_last_checkpoint_within_noise_of_the_highest_score_is_kept(
    scores: Sequence[float],
    kept: int,
    tiny_recipe: Recipe,
    tiny_data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = iter(scores)
    monkeypatch.setattr(trainer, "task_metrics", lambda found: {"PM": next(given, 0.0)})
    monkeypatch.setattr(trainer, "is_within_noise", lambda score, highest, rows: score >= highest - 0.1)
    validation = tiny_recipe.validation.model_copy(update={"per_epoch": 2})
    moved = tiny_recipe.optimisation.model_copy(update={"epochs": 2})
    tune(tiny_recipe.model_copy(update={"validation": validation, "optimisation": moved}), tiny_data, tmp_path / "m")
    log = [json.loads(line) for line in (tmp_path / "m" / "log.jsonl").read_text().splitlines()]
    checks = [row for row in log if "eval_score" in row]
    assert [row["eval_score"] for row in checks] == pytest.approx(list(scores))
    notes = json.loads((tmp_path / "m" / "ecellm.json").read_text())
    assert notes["best_step"] == checks[kept]["step"]
    assert notes["validation_score"] == pytest.approx(scores[kept])
