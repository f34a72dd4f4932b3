"""The public API: what `import ecellm` offers, and the whole way from tables to scores in Python."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ecellm

CONFIG = '[sources.tables]\nreviews = {file = "reviews.csv"}\n[tasks.SA]\ntrain = 40\nvalidation = 10\ntest = 10\n'
OVERRIDES = ("max_tokens=100", "optimisation.epochs=1", "optimisation.precision='fp32'", "validation.per_epoch=1")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A shop's reviews and the config that makes SA of them."""
    folder = tmp_path / "sources"
    folder.mkdir()
    with (folder / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "stars"])
        writer.writerows(
            (f"We have used mug {number} since May and give it {number % 5 + 1} stars", number % 5 + 1)
            for number in range(200)
        )
    (folder / "config.toml").write_text(CONFIG)
    return folder


def test_every_public_name_is_there_and_documented() -> None:
    for name in ecellm.__all__:
        assert (getattr(ecellm, name).__doc__ or "").strip(), name
        assert name in dir(ecellm)
    with pytest.raises(AttributeError, match="no attribute 'lode_model'"):
        ecellm.lode_model  # noqa: B018


def test_importing_the_package_loads_no_library() -> None:
    heavy = ("torch", "transformers", "duckdb", "ibis")
    code = f"import sys, ecellm; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_from_tables_to_scores(sources: Path, tiny_base: Path, tmp_path: Path) -> None:
    data = ecellm.build_dataset(sources, sources / "config.toml", tmp_path / "dataset")
    assert {example.task for example in data.examples("test")} == {"SA"}
    folder = ecellm.tune("xs", data, tmp_path / "model", overrides=(f"base={tiny_base}", *OVERRIDES))
    answers = tmp_path / "predictions.jsonl"
    counts = ecellm.predict(folder, data, answers, settings=["IND_Diverse_Instruction"], limit=8)
    assert counts.answered == 8 and len(answers.read_text().splitlines()) == 8
    scores = ecellm.evaluate(answers, str(tmp_path / "dataset"), tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["scores"] == scores["scores"]
    assert {row["task"] for row in scores["scores"]} == {"SA"}
    model = ecellm.load_model(folder, device="cpu")
    answer = model.rate_sentiment("Worth every cent.")
    assert answer.probabilities is not None and sum(answer.probabilities.values()) == pytest.approx(1)
    lowered = ecellm.load_model(folder, device="cpu", precision="bf16").rate_sentiment("Worth every cent.")
    assert lowered.probabilities == pytest.approx(answer.probabilities, abs=0.05)
    assert lowered.probabilities != answer.probabilities


def test_mistakes_are_errors_of_the_tree(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(ecellm.ConfigError, match="Unknown task"):
        ecellm.build_dataset(sources, sources / "config.toml", tmp_path / "dataset", tasks=["SA", "XX"])
    with pytest.raises(ecellm.DataError):
        ecellm.load_dataset(tmp_path)
    with pytest.raises(ecellm.ModelError, match="not a finished model"):
        ecellm.load_model(tmp_path)
    with pytest.raises(ecellm.ModelError, match="omit the device"):
        ecellm.load_model("openai:gpt", device="cuda")
    data = ecellm.build_dataset(sources, sources / "config.toml", tmp_path / "dataset")
    with pytest.raises(ecellm.ConfigError, match="There is no recipe 'xz'"):
        ecellm.tune("xz", data, tmp_path / "model")
