"""`ecellm calibrate` for models without a MODEL folder: bases and servers' models keep what was fitted in a file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer, serving
from ecellm.data.dataset import read_dataset, write_split
from ecellm.errors import EcellmError
from ecellm.models.base import Request
from ecellm.models.load import load_generator
from ecellm.types import SPLITS
from model_folders import describe
from shop_rows import rows, write_dataset
from tiny_models import save_tiny

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
Run = Callable[..., tuple[int, str, str]]
MODEL = "openai:m"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A server that finds the first answer three times as likely as the second."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serving() as made:
        monkeypatch.setenv("OPENAI_BASE_URL", made.url)
        yield made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    for split in SPLITS:
        made = rows(split, 45 if split == "validation" else 4)
        write_split([example for example in made if example.task in ("PM", "AG")], folder / f"{split}.parquet")
    (folder / "manifest.json").write_text('{"seed": 1}')
    return folder


def predicted(run: Run, data: Path, out: Path, *more: object) -> list[dict[str, Any]]:
    command = (
        "predict",
        MODEL,
        "--data",
        data,
        "--tasks",
        "PM",
        "--setting",
        "IND_Diverse_Instruction",
        "--out",
        out,
    )
    code, _, error = run(*command, *more)
    assert code == 0, error
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_servers_model_is_calibrated_into_a_file_and_asked_with_it(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "fitted.json"
    code, output, error = run("calibrate", MODEL, "--data", data, "--out", file)
    assert code == 0, error
    assert len(server.bodies) == 45, "the multiple-choice rows, each once"
    assert "Temperatures: PM " in output and f"Written to {file}." in output
    assert "No decision thresholds: PM (45 validation rows, 40 for each of 2 classes are needed)." in output
    fitted = json.loads(file.read_text())
    assert fitted["model"] == MODEL and fitted["temperatures"]["PM"] != 1.0 and fitted["offsets"] == {}

    plain = predicted(run, data, tmp_path / "plain.jsonl")
    cooled = predicted(run, data, tmp_path / "cooled.jsonl", "--calibration", file)
    assert [row["text"] for row in plain] == [row["text"] for row in cooled] == ["yes"] * 4
    assert [row["probability"] for row in plain] == pytest.approx([0.75] * 4)
    assert all(row["probability"] != pytest.approx(0.75) for row in cooled)
    assert [row["usage"] for row in cooled] == [row["usage"] for row in plain]

    moving = tmp_path / "moving.json"
    moving.write_text(json.dumps({**fitted, "offsets": {"PM": [-4.0, 0.0]}}))
    moved = predicted(run, data, tmp_path / "moved.jsonl", "--calibration", moving)
    assert [row["text"] for row in moved] == ["no"] * 4
    assert [row["scores"] for row in moved] == [row["scores"] for row in cooled]
    # Answers of one file are all made alike.
    command = ("predict", MODEL, "--data", data, "--tasks", "PM", "--out", tmp_path / "moved.jsonl")
    code, _, error = run(*command)
    assert code == 1 and "holds answers of another decoding" in error
    code, output, error = run("ask", "PM", MODEL, "--set", "title_1=a", "--set", "title_2=b", "--calibration", moving)
    assert (code, output.splitlines()[0]) == (0, "no"), error


def test_what_cannot_be_is_one_sentence(run: Run, server: ChatServer, data: Path, tmp_path: Path) -> None:
    file, tuned = tmp_path / "fitted.json", tmp_path / "tuned"
    tuned.mkdir()
    describe(tuned, {"recipe": {"family": "causal"}})
    fit = ("calibrate", MODEL, "--data", data)
    refused = {
        "name it with --out": fit,
        "leave --out and --template out": ("calibrate", tuned, "--data", data, "--out", file),
        "estimated to cost": (*fit, "--out", file, "--price-in", 10, "--price-out", 30, "--max-cost", 0.001),
        "is not a finished model": ("calibrate", tmp_path, "--data", data),
        "There is no model": ("calibrate", tmp_path / "nothing", "--data", data),
    }
    for sentence, arguments in refused.items():
        code, _, error = run(*arguments)
        assert code == 1 and sentence in error and not server.bodies and not file.exists(), error
    server.read = 10_000  # far above the estimate
    code, _, error = run(*fit, "--out", file, "--price-in", 1, "--price-out", 2, "--max-cost", 0.1)
    assert code == 1 and not file.exists() and "nothing was written" in error, error


def test_a_model_without_probabilities_is_refused_early_and_nothing_is_written(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    server.silent = True
    code, _, error = run("calibrate", MODEL, "--data", data, "--out", tmp_path / "fitted.json")
    assert code == 1 and "No temperature: PM (its answers carry no probabilities)." in error
    assert len(server.bodies) == 8 and not (tmp_path / "fitted.json").exists()
    assert " 8/8 " in error, "no row is shown as asked that was not"


def test_a_baseline_without_probabilities_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    data, model = write_dataset(tmp_path / "data", held_out=45), tmp_path / "last"
    assert run("baseline", "last", "--data", data, "--out", model)[0] == 0
    before = (model / "ecellm.json").read_bytes()
    code, _, error = run("calibrate", model, "--data", data)
    assert code == 1 and "No temperature: SR (its answers carry no probabilities)." in error
    assert (model / "ecellm.json").read_bytes() == before
    code, _, error = run("calibrate", model, "--data", data, "--tasks", "PM,SR")
    assert code == 1 and f"{model} answers SR, not PM: add --tasks SR." in error


def test_a_file_that_is_none_or_another_models_is_refused(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    file, tuned = tmp_path / "fitted.json", tmp_path / "tuned"
    tuned.mkdir()
    describe(tuned, {"recipe": {"family": "causal"}})
    good: dict[str, Any] = {"model": MODEL, "dataset": "", "temperatures": {"PM": 2.0}, "offsets": {}}
    bad = {
        "cannot be read": None,
        "is not a calibration file": {**good, "temperatures": {"PM": 0.0}},
        "fitted for another model": {**good, "model": "openai:other"},
        "has unknown tasks: XY": {**good, "offsets": {"XY": [0.0]}},
    }
    for sentence, content in bad.items():
        if content is not None:
            file.write_text(json.dumps(content))
        ask = ("predict", MODEL, "--data", data, "--out", tmp_path / "out.jsonl", "--calibration", file)
        code, _, error = run(*ask)
        assert code == 1 and sentence in error and not server.bodies, error
    with pytest.raises(EcellmError, match="omit --calibration"):
        load_generator(tuned, calibration=file)


def test_thresholds_that_are_not_one_a_class_are_refused(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "fitted.json"
    file.write_text(
        json.dumps({"model": MODEL, "dataset": "", "temperatures": {}, "offsets": {"PM": [0.0, 1.0, 2.0]}})
    )
    ask = ("predict", MODEL, "--data", data, "--tasks", "PM", "--out", tmp_path / "out.jsonl", "--calibration", file)
    code, _, error = run(*ask)
    assert code == 1 and "The model has 3 decision thresholds for PM, and PM-" in error
    assert "has 2 candidates: fit them again with `ecellm calibrate`." in error


def test_a_base_is_calibrated_into_a_file_and_stays_as_it_is(run: Run, data: Path, tmp_path: Path) -> None:
    base, file = save_tiny("llama", tmp_path / "base", max_position_embeddings=2048), tmp_path / "fitted.json"
    before = {path.name: path.stat().st_mtime_ns for path in base.iterdir()}
    code, output, error = run("calibrate", base, "--data", data, "--out", file)
    assert code == 0 and "Temperatures: PM " in output, error
    assert {path.name: path.stat().st_mtime_ns for path in base.iterdir()} == before
    (row,) = read_dataset(data).view("IND_Diverse_Instruction", "test", ["PM"])[:1]
    fitted = json.loads(file.read_text())
    file.write_text(json.dumps({**fitted, "temperatures": {"PM": 0.1}}))
    replies = []
    for calibration in (None, file):
        model = load_generator(base, calibration=calibration)
        replies += model.reply([Request(row, model.prompts([row])[0])])
    plain, calibrated = replies
    assert plain.text == calibrated.text and plain.probability < calibrated.probability
