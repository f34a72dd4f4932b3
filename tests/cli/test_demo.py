"""`ecellm demo`: what it leaves, on a small shop; tuning and asking, tested elsewhere, are stood in for."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ecellm.cli.app  # noqa: F401
from ecellm.data.dataset import read_dataset

Run = Callable[..., tuple[int, str, str]]


def tune(out: Path, **_: Any) -> None:
    out.mkdir()
    (out / "log.jsonl").write_text('{"step": 1, "eval_loss": 1.5}\n')


def predict(data: Path, out: Path, setting: str, **_: Any) -> None:
    with out.open("a") as file:
        for question in read_dataset(data).view(setting):
            example = question.example
            line = {"id": example.id, "task": example.task, "setting": setting, "text": example.output}
            file.write(json.dumps(line) + "\n")


@pytest.mark.slow
def test_the_demo_leaves_what_its_contract_names(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (tune, predict):
        monkeypatch.setattr(sys.modules[f"ecellm.cli.{verb.__name__}"], verb.__name__, verb)
    out = tmp_path / "demo"
    code, output, err = run("demo", "--out", out, "--scale", "0.05")
    assert code == 0, err[-2000:]
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        *("sources", "dataset", "model", "predictions.jsonl", "scores.json"),
        *("tfidf", "tfidf.jsonl", "tfidf_scores.json", "run.json", "report.html"),
    }
    facts = json.loads((out / "run.json").read_text())
    assert facts["commands"] == ["ecellm demo --scale 0.05 --seed 42"] and facts["seconds"]["Built the dataset"] > 0
    page = (out / "report.html").read_text()
    assert "<title>The demo</title>" in page and "XS: TF-IDF baseline" in page and "ecellm demo --scale 0.05" in page
    assert "report.html" in output
