"""The simulated shop as a test bed: the TF-IDF baseline learns from its text, and is far from perfect."""

from pathlib import Path

import pytest

from ecellm.data.builder import build
from ecellm.data.config import BuildConfig, read_config
from ecellm.data.dataset import read_dataset
from ecellm.data.simulator import DEMO_CONFIG, simulate
from ecellm.evaluation.evaluate import evaluate
from ecellm.inference.predict import predict
from ecellm.inference.selection import questions
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.load import load_generator
from ecellm.tasks import TASKS

CLOSED = ("PRP", "PM", "SA", "SR", "MPC", "PSI", "QPR", "AP")
LEAST_ROWS = 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", [42, 7])
def test_the_tfidf_baseline_lies_between_trivial_and_perfect(tmp_path: Path, seed: int) -> None:
    simulate(tmp_path / "shop", seed=seed)
    config = read_config(DEMO_CONFIG).model_dump(mode="json")
    # AP's gap is .06 to .10: too little for the demo's 150 rows to show safely.
    config["tasks"]["AP"].update(test=400, out_of_domain_test=400)
    chosen = BuildConfig.model_validate(config)
    manifest = build(tmp_path / "shop", chosen, tmp_path / "data", list(TASKS.values()), seed, lambda step: None)
    for task in TASKS.values():
        parts = ["test IND", *(["test OOD"] if task.out_of_domain else [])]
        assert all(manifest["counts"][task.name].get(part, 0) >= LEAST_ROWS for part in parts), task.name
    dataset = read_dataset(tmp_path / "data")
    fit_baseline("tfidf", dataset, tmp_path / "tfidf", CLOSED)
    settings = [setting for setting in dataset.settings() if setting.endswith("Diverse_Instruction")]
    asked = questions(dataset, settings, CLOSED)
    predict(load_generator(tmp_path / "tfidf"), asked, tmp_path / "tfidf.jsonl", {})
    rows = [
        row
        for row in evaluate(tmp_path / "tfidf.jsonl", dataset)["scores"]
        if row["main"] and row["scoring"] == "strict"
    ]
    assert {row["task"] for row in rows} == set(CLOSED)
    outside = [
        f"{row['task']} {row['setting']}: {row['value']:.3f}, floor {row['floor']:.3f}"
        for row in rows
        if not row["floor"] + 0.05 <= row["value"] <= 0.90
    ]
    assert not outside
