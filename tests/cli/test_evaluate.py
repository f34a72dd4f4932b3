"""`ecellm evaluate`, `baseline` and `results` on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from ecellm.cli.baseline import baseline
from ecellm.cli.evaluate import evaluate
from ecellm.cli.predict import predict
from ecellm.cli.results import results
from ecellm.data.dataset import write_split
from ecellm.errors import DataError, EcellmError
from ecellm.types import SPLITS, Example

app = typer.Typer()
for verb in (evaluate, baseline, predict, results):
    app.command()(verb)

STARS = '["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"]'
IND = "IND_Diverse_Instruction"


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    rows = []
    for split in SPLITS:
        for number in range(60):
            output = json.loads(STARS)[4 * (number % 2)]
            text = f"{'bad and broken' if number % 2 else 'good and nice'} number {number}"
            rows.append(Example(f"SA-{split}-{number}", "SA", "IND", split, text, STARS, output))
    for split in SPLITS:
        write_split([row for row in rows if row.split == split], folder / f"{split}.parquet")
    (folder / "manifest.json").write_text('{"counts": {"SA": {"train IND": 60, "test IND": 60}}}')
    return folder


def test_baseline_then_evaluate_then_the_page(data: Path, tmp_path: Path) -> None:
    answers, scores = tmp_path / "tfidf.jsonl", tmp_path / "scores.json"
    result = run("baseline", "tfidf", "--data", data, "--out", tmp_path / "model")
    assert result.exit_code == 0, result.output
    assert f"Fitted tfidf on SA; model written to {tmp_path / 'model'}." in result.output.replace("\n", "")
    result = run("predict", tmp_path / "model", "--data", data, "--out", answers, "--setting", IND)
    assert result.exit_code == 0 and "60 answered" in result.output, result.output
    result = run("evaluate", answers, "--data", data, "--out", scores)
    assert result.exit_code == 0, result.output
    assert "macro_f1" in result.output and "1.000 [1.000, 1.000]" in result.output
    assert "Without predictions: IND_Single_Instruction: SA." in result.output
    made = json.loads(scores.read_text())
    row = next(row for row in made["scores"] if row["main"] and row["scoring"] == "strict")
    assert (row["task"], row["metric"], row["value"], row["n"]) == ("SA", "macro_f1", 1.0, 60)
    before = scores.read_bytes()
    assert run("evaluate", answers, "--data", data, "--out", scores, "--overwrite").exit_code == 0
    assert scores.read_bytes() == before

    folder = tmp_path / "results" / "run"
    folder.mkdir(parents=True)
    for name, content in {
        "run.json": json.dumps({"title": "T", "model": "XS", "machine": "m", "commands": [], "seconds": {}}),
        "scores.json": scores.read_text(),
        "tfidf.json": scores.read_text(),
        "manifest.json": (data / "manifest.json").read_text(),
        "text.md": "Text.",
    }.items():
        (folder / name).write_text(content)
    (tmp_path / "results" / "introduction.md").write_text("# Results")
    assert run("results", tmp_path / "results", "--out", tmp_path / "page.md").exit_code == 0
    assert "| SA | macro_f1 | 1.000 [1.000, 1.000] |" in (tmp_path / "page.md").read_text()


def test_slices_errors_and_bleurt(data: Path, tmp_path: Path) -> None:
    answers, scores, errors = tmp_path / "p.jsonl", tmp_path / "scores.json", tmp_path / "errors.jsonl"
    lines = [
        {"id": f"SA-test-{number}", "task": "SA", "setting": IND, "text": "A: very positive" if number else "well"}
        for number in range(60)
    ]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    line = ["evaluate", answers, "--data", data, "--out", scores, "--errors", errors, "--worst", "2", "--by", "label"]
    result = run(*line)
    assert result.exit_code == 0, result.output
    assert f"Worst errors written to {errors}." in result.output.replace("\n", "")
    assert f"Most common unparsed: SA {IND}: 'well' (1)." in result.output
    made = json.loads(scores.read_text())
    assert {(row["slice"], row["metric"]) for row in made["slices"]} == {
        (label, metric) for label in "AE" for metric in ("accuracy", "macro_f1")
    }
    assert made["details"][0]["unparsed_texts"] == [{"text": "well", "rows": 1}]
    worst = [json.loads(text) for text in errors.read_text().splitlines()]
    assert len(worst) == 2 and all(row["score"] == 0 and row["reference"] != row["answer"] for row in worst)
    assert "exists already" in str(run(*line).exception)
    scores.unlink()
    assert "errors.jsonl exists already" in str(run(*line).exception) and not scores.exists()
    bleurt = tmp_path / "bleurt.jsonl"
    bleurt.write_text(json.dumps({"id": "SA-test-1", "setting": IND, "bleurt": 0.5}))
    assert "is a row of SA, whose answers are no free text" in str(
        run(*line, "--overwrite", "--bleurt", bleurt).exception
    )
    assert "is a folder" in str(run("evaluate", answers, "--data", data, "--out", tmp_path).exception)


def test_existing_files_are_kept(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept"
    out.write_text("precious")
    for arguments in (["evaluate", tmp_path / "p.jsonl", "--data", data], ["baseline", "tfidf", "--data", data]):
        result = run(*arguments, "--out", out)
        assert isinstance(result.exception, EcellmError) and "exists already" in str(result.exception)
    assert out.read_text() == "precious"


@pytest.mark.parametrize(
    ("line", "problem"),
    [("", "has no predictions"), ("{", "line 1: not valid JSON"), ('{"id": "x"}', "line 1: 'task' is missing")],
)
def test_bad_predictions_leave_no_file(data: Path, tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "p.jsonl").write_text(line)
    result = run("evaluate", tmp_path / "p.jsonl", "--data", data, "--out", tmp_path / "scores.json")
    assert result.exit_code != 0 and problem in str(result.exception)
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["tfidf", "--tasks", "XX"], "XX"),
        (["tfidf", "--tasks", "PM"], "no training rows of PM"),
        (["tfdif"], "There is no baseline 'tfdif': name one of tfidf, "),
        (["encoder", "--tasks", "SR"], "is for PRP, PM, SA, MPC, PSI, QPR, AP, not for SR"),
        (["encoder", "--base", "gone/away"], "The base 'gone/away' cannot be had"),
    ],
)
def test_a_baseline_of_nothing_is_refused(data: Path, tmp_path: Path, arguments: list[str], problem: str) -> None:
    result = run("baseline", *arguments, "--data", data, "--out", tmp_path / "model")
    assert result.exit_code != 0 and problem in str(result.exception)
    assert not (tmp_path / "model").exists()


def test_what_is_no_dataset_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("{}")
    result = run("evaluate", tmp_path / "p.jsonl", "--data", tmp_path, "--out", tmp_path / "s.json")
    assert "is not a dataset" in str(result.exception)


def test_answers_that_cannot_be_scored_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    text = json.dumps({"query": "mug", "product list": ["A: x", "B: y"]})
    example = Example("QPR-1", "QPR", "IND", "test", text, None, "A,B")
    for split in SPLITS:
        write_split([example] if split == "test" else [], folder / f"{split}.parquet")
    (folder / "manifest.json").write_text("{}")
    line = {"id": "QPR-1", "task": "QPR", "setting": IND, "text": "A,B"}
    (tmp_path / "p.jsonl").write_text(json.dumps(line))
    result = run("evaluate", tmp_path / "p.jsonl", "--data", folder, "--out", tmp_path / "s.json")
    assert isinstance(result.exception, DataError) and not (tmp_path / "s.json").exists()
    assert "can be scored. QPR test rows have no labels" in str(result.exception)
    assert "--qpr-labels" in str(result.exception)
