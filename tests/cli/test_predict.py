"""`ecellm predict` on the command line: what it asks, what it says, and how it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from ecellm.cli.predict import predict
from ecellm.data.dataset import write_split
from ecellm.errors import EcellmError
from ecellm.types import SETTINGS, Example
from model_folders import describe
from scripted import ScriptedGenerator
from tiny_models import save_tiny

app = typer.Typer()
app.command()(predict)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    text = json.dumps({"product 1": {"title": "mug"}, "product 2": {"title": "pot"}})
    rows = [Example(f"PM-IND-{number:02}", "PM", "IND", "test", text, None, "no") for number in range(10)]
    for split, examples in (("train", []), ("validation", []), ("test", rows)):
        write_split(examples, folder / f"{split}.parquet")
    (folder / "manifest.json").write_text('{"seed": 1}')
    return folder


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder whose model says a fixed thing: PM-IND-00 gets an answer out of form."""
    folder = tmp_path / "model"
    folder.mkdir()
    describe(folder, {"recipe": {"family": "causal"}})
    generator = ScriptedGenerator(lambda question: "perhaps" if question.example.id == "PM-IND-00" else "no")
    monkeypatch.setattr("ecellm.models.load.load_generator", lambda *arguments: generator)
    return folder


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_all_settings_are_asked_and_the_counts_said(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.jsonl"
    result = run(model, "--data", data, "--out", out)
    assert result.exit_code == 0, result.output
    assert "40 answered, 0 skipped (answered before), 4 unparsed, 0 truncated prompts." in result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["setting"] for row in rows} == set(SETTINGS[:4]) and len(rows) == 40
    assert set(rows[0]) == {"id", "task", "setting", "text", "answer"}
    again = run(model, "--data", data, "--out", out)
    assert again.exit_code == 0 and "0 answered, 40 skipped" in again.output


def test_one_setting_some_tasks_and_a_limit(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.jsonl"
    chosen = ("--setting", SETTINGS[2], "--tasks", "pm", "--limit", 7)
    assert run(model, "--data", data, "--out", out, *chosen).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 7 and {row["setting"] for row in rows} == {SETTINGS[2]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--setting", "IND"), "Unknown setting 'IND'"),
        (("--setting", "OOD_Single_Instruction"), "no test rows under OOD_Single_Instruction"),
        (("--tasks", "PM,XYZ"), "XYZ"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    model: Path, data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "predictions.jsonl"
    result = run(model, "--data", data, "--out", out, *arguments)
    assert isinstance(result.exception, EcellmError) and message in str(result.exception)
    assert not list(tmp_path.glob("predictions*"))


def test_a_folder_that_is_no_model_or_no_dataset_is_refused(model: Path, data: Path, tmp_path: Path) -> None:
    result = run(data, "--data", data, "--out", tmp_path / "out.jsonl")
    assert "not a finished model" in str(result.exception)
    result = run(model, "--data", model, "--out", tmp_path / "out.jsonl")
    assert "is not a dataset" in str(result.exception)


def test_another_models_answers_are_refused(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.jsonl"
    run(model, "--data", data, "--out", out, "--limit", 2)
    describe(model, {"recipe": {"family": "causal", "name": "other"}})
    result = run(model, "--data", data, "--out", out)
    assert "another model" in str(result.exception)


def test_a_published_model_is_asked_with_its_own_template(data: Path, tmp_path: Path) -> None:
    base = save_tiny("mistral", tmp_path / "base")
    template = tmp_path / "template.json"
    form = {"prompt_input": "{instruction} {input} {options} Say:", "prompt_no_options": "{instruction} {input} Say:"}
    template.write_text(json.dumps({**form, "response_split": "Say:"}))
    out = tmp_path / "out.jsonl"
    chosen = ("--data", data, "--out", out, "--setting", SETTINGS[0], "--limit", 3)
    assert run(base, *chosen, "--template", template).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 3 and all(row["text"] in ("yes", "no") and 0.5 <= row["probability"] <= 1 for row in rows)
    assert "answers of another prompt" in str(run(base, *chosen).exception)  # its own chat template
