"""A task is added in one file, and one that is drawn from tables in two: neither asks for a change elsewhere."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ecellm.data.samplers import SAMPLERS
from ecellm.tasks import TASKS
from own_tasks import buying_again, buying_again_sampler, headline

Run = Callable[..., tuple[int, str, str]]

SETTING = "IND_Diverse_Instruction"
OPINIONS = {5: "love it", 4: "like it", 3: "it is fine", 2: "dislike it", 1: "hate it"}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with (
        patch.dict(TASKS, {"RH": headline.TASK, "BA": buying_again.TASK}),
        patch.dict(SAMPLERS, {"BA": buying_again_sampler.SAMPLER}),
    ):
        yield


@pytest.fixture
def command_line(run: Run) -> Callable[..., str]:
    """Run a command that must not fail; returns its output."""

    def call(*arguments: object) -> str:
        code, out, err = run(*arguments)
        assert code == 0, (arguments, out, err)
        return out

    return call


@pytest.fixture
def headlines(tmp_path: Path, command_line: Callable[..., str]) -> Path:
    """An imported dataset of RH."""
    rows = [
        {
            "task": "review_headline" if number % 2 else "RH",
            "split": split,
            "setting": SETTING,
            "instruction": headline.TASK.seed_instruction,
            "input": f"We bought mug {number} for {split} and {opinion}.",
            "output": f"{opinion.capitalize()}, mug {number}",
        }
        for split, count in (("train", 20), ("val", 6), ("test", 6))
        for number, opinion in zip(range(count), [*OPINIONS.values()] * 4, strict=False)
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    command_line("import", file, "--out", tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.fixture
def reviews(tmp_path: Path, command_line: Callable[..., str]) -> Path:
    """A dataset of BA, drawn from a table of the user's own."""
    sources = tmp_path / "sources"
    sources.mkdir()
    with (sources / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "stars"])
        writer.writerows((f"Mug {number}: we {OPINIONS[number % 5 + 1]}", number % 5 + 1) for number in range(200))
    config = tmp_path / "config.toml"
    config.write_text(
        '[sources.tables]\nreviews = {file = "reviews.csv"}\n'
        '[tasks.BA]\ntrain = 40\nvalidation = 10\ntest = 10\nlabels = "balanced"\n'
    )
    command_line("build", "--sources", sources, "--config", config, "--tasks", "BA", "--out", tmp_path / "dataset")
    return tmp_path / "dataset"


def through(
    command_line: Callable[..., str], folder: Path, data: Path, base: Path, task: str
) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Tune, predict, evaluate, ask and report; returns the predictions, the main strict score row and the page."""
    model, answers, scores = folder / "model", folder / "predictions.jsonl", folder / "scores.json"
    changes = (
        f"base={base}",
        "max_tokens=100",
        "optimisation.epochs=1",
        "optimisation.precision=fp32",
        "validation.per_epoch=1",
    )
    settings = [part for change in changes for part in ("--set", change)]
    command_line("tune", "xs", "--data", data, "--out", model, "--tasks", task, *settings)
    command_line("predict", model, "--data", data, "--out", answers, "--setting", SETTING)
    command_line("evaluate", answers, "--data", data, "--out", scores, "--by", "label")
    (folder / "table.csv").write_text("text\nThe lid leaks.\nBest mug ever.\n")
    command_line("ask", task, model, "--input", folder / "table.csv", "--out", folder / "asked.csv")
    assert len((folder / "asked.csv").read_text().splitlines()) == 3
    command_line("report", folder, "--out", folder / "report.html")
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    (main,) = (row for row in json.loads(scores.read_text())["scores"] if row["main"] and row["scoring"] == "strict")
    return rows, main, (folder / "report.html").read_text()


def test_a_second_task_of_free_text_needs_nothing_but_its_definition(
    command_line: Callable[..., str], tmp_path: Path, headlines: Path, tiny_base: Path
) -> None:
    rows, main, page = through(command_line, tmp_path, headlines, tiny_base, "RH")
    assert {row["task"] for row in rows} == {"RH"} and len(rows) == 6
    assert (main["task"], main["metric"], main["n"]) == ("RH", "bertscore_f1", 6)
    # It says of no trivial answer of its own: its input is one.
    assert main["floor_name"] == "the input itself" and 0 < main["floor"] < 1
    assert "RH: review headline" in page


def test_a_task_with_a_sampler_needs_nothing_but_these_two(
    command_line: Callable[..., str], tmp_path: Path, reviews: Path, tiny_base: Path
) -> None:
    rows, main, page = through(command_line, tmp_path, reviews, tiny_base, "BA")
    assert {row["answer"] for row in rows} <= set("ABC") and len(rows) == 10
    assert sum(row["probability"] for row in rows) > 10 / 3
    assert (main["task"], main["metric"], main["n"]) == ("BA", "accuracy", 10)
    assert main["floor_name"].startswith("always")
    with (tmp_path / "asked.csv").open(newline="") as file:
        answers = {row["answer"] for row in csv.DictReader(file)}
    assert answers <= {"yes, again", "perhaps", "never again"}
    assert "BA: buying again" in page


def test_a_task_without_a_sampler_is_not_built(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "config.toml").write_text("seed = 1\n")
    code, _, err = run(
        "build",
        *("--sources", tmp_path / "sources", "--config", tmp_path / "config.toml"),
        *("--tasks", "RH", "--out", tmp_path / "dataset"),
    )
    assert code == 1
    assert "RH cannot be built: it has no sampler" in err
