"""Task files for lm-evaluation-harness: it asks our rows, and its figures are ours."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from test_scoring import SameText

from ecellm.data.dataset import Dataset
from ecellm.evaluation.evaluate import evaluate
from ecellm.evaluation.lm_eval_harness import aggregation, answer_by_choice, answer_by_text, export_harness
from ecellm.models.decoding.candidates import candidates_of
from ecellm.tasks import TASKS
from ecellm.types import Example
from published_rows import IND, RELATIONS, answers, dataset, lists, predictions, purchases, row, stars, triple, values

Run = Callable[..., tuple[int, str, str]]


def plain(name: str) -> list[Example]:
    """Return rows whose input is a record of texts, as in the tasks that show a few."""
    options = '["A: exact", "B: substitute", "C: complement", "D: irrelevant"]' if name == "MPC" else None
    outputs = ["B: substitute", "A: exact"] if name == "MPC" else ["yes", "no"]
    text = {"question": "Is it?", "document": ["Yes."]} if name == "AP" else {"query": "mug", "product": "pot"}
    if name == "MPC":
        text = {"query": "mug", "product title": "pot"}
    return [row(name, number, output, json.dumps(text), options) for number, output in enumerate(outputs)]


PAIR = json.dumps({"product 1": {"title": "mug"}, "product 2": {"title": "pot"}})
TITLES = json.dumps({"Product 1:": "mug", "Product 2:": "pot"})
EVERY = [
    *[row("PM", number, output, PAIR) for number, output in enumerate(["yes", "no"])],
    *[row("PRP", number, letter, TITLES, RELATIONS) for number, letter in enumerate("AC")],
    *stars("AE"),
    *purchases("AC"),
    *lists(["ES", "IEC"]),
    *values([[triple("color", "blue")], [triple("size", "None")]]),
    *answers(["It is.", "No."]),
    *plain("MPC"),
    *plain("PSI"),
    *plain("AP"),
]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset(tmp_path / "dataset", EVERY)


class Loader(yaml.SafeLoader):
    """Reads the harness's own tag as the name that it calls."""


Loader.add_constructor("!function", lambda loader, node: node.value)


def task_files(folder: Path) -> dict[str, dict]:
    return {path.stem: yaml.load(path.read_text(), Loader) for path in folder.glob("*.yaml")}


def test_each_task_has_a_file_that_names_rows_and_metrics(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "tasks"
    assert export_harness(data, out, [IND]) == 10
    files = task_files(out)
    assert set(files) == {f"ecellm_ind_diverse_{name.lower()}" for name in TASKS}
    scoring = (out / "ecellm_scoring.py").read_text()
    for name, file in files.items():
        task = TASKS[name.rsplit("_", 1)[1].upper()]
        assert file["task"] == name and file["tag"] == "ecellm_ind_diverse"
        assert file["output_type"] == ("generate_until" if task.name in ("AVE", "AG") else "multiple_choice")
        metrics = [metric["metric"] for metric in file["metric_list"]]
        assert metrics[0] == task.metric and f"published_{task.metric}" in metrics
        for metric in file["metric_list"]:
            assert f'\n{metric["aggregation"].split(".")[1]} = aggregation("{metric["metric"]}")' in scoring
        docs = [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]
        rows = [example for example in EVERY if example.task == task.name]
        assert [doc["id"] for doc in docs] == [example.id for example in rows]
        for doc, example in zip(docs, rows, strict=True):
            assert tuple(doc["choices"]) == (candidates_of(example) or ())
            assert example.input in doc["prompt"] and doc["prompt"].endswith("### Response:\n")
            assert not doc["choices"] or example.output in doc["choices"]


def test_its_figures_are_those_of_evaluate(data: Dataset, tmp_path: Path) -> None:
    export_harness(data, tmp_path / "tasks", [IND])
    texts = {example.id: "B" if number % 2 else example.output for number, example in enumerate(EVERY)}
    file = predictions(tmp_path / "p.jsonl", EVERY, [texts[example.id] for example in EVERY])
    made = evaluate(file, data, pairs=SameText())
    compared = 0
    for name, task in task_files(tmp_path / "tasks").items():
        docs = [json.loads(line) for line in (tmp_path / "tasks" / f"{name}.jsonl").read_text().splitlines()]
        replies = [answer_by_text(doc, [texts[doc["id"]] + "\n"]) for doc in docs]
        for metric in (metric["metric"] for metric in task["metric_list"]):
            scoring = "published" if metric.startswith("published_") else "strict"
            (wanted,) = [
                score["value"]
                for score in made["scores"]
                if (score["task"], score["scoring"]) == (docs[0]["task"], scoring)
                and score["metric"] == metric.removeprefix("published_")
            ]
            found = aggregation(metric, SameText())([reply[metric] for reply in replies])
            assert found == pytest.approx(wanted, abs=1e-6), (name, metric)
            compared += 1
    assert compared == 33


def test_the_likeliest_choice_is_taken_and_the_first_of_equals() -> None:
    doc = {"task": "PM", "choices": ["yes", "no"]}
    assert answer_by_choice(doc, [(-2.0, False), (-1.0, True)])["f1"] == (doc, "no")
    assert answer_by_choice(doc, [(-1.0, False), (-1.0, True)])["f1"] == (doc, "yes")


def test_the_verb(data: Dataset, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "tasks"
    code, output, _ = run("export", data.path, "--format", "lm-eval", "--out", out)
    assert code == 0 and f"40 tasks written to {out}" in output  # single, diverse, unseen and one shot
    for arguments, problem in (
        (["--format", "lm-eval", "--out", out], "exists already"),
        (["--format", "lm-eval", "--out", tmp_path / "x", "--setting", "IND"], "Unknown setting 'IND'"),
        (
            ["--format", "lm-eval", "--out", tmp_path / "x", "--setting", "OOD_Diverse_Instruction"],
            "has no test rows",
        ),
        (["--format", "lm-eval", "--out", tmp_path / "x", "--qpr-labels", tmp_path / "l"], "--qpr-labels belongs"),
        (["--out", tmp_path / "x", "--setting", IND], "--setting belongs to --format lm-eval"),
    ):
        code, _, err = run("export", data.path, *arguments)
        assert code == 1 and problem in err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_the_harness_asks_a_tiny_model_and_gets_our_scores(data: Dataset, tmp_path: Path) -> None:
    from tiny_models import save_tiny

    export_harness(data, tmp_path / "tasks", [IND])
    model = save_tiny("llama", tmp_path / "model")
    script = Path(__file__).with_name("ask_by_harness.py")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    line = [sys.executable, str(script), str(tmp_path / "tasks"), str(model), str(tmp_path / "out.json")]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    evaluated = json.loads((tmp_path / "out.json").read_text())
    texts = {answer["id"]: answer["text"] for answer in evaluated["answers"]}
    made = evaluate(predictions(tmp_path / "p.jsonl", EVERY, [texts[example.id] for example in EVERY]), data)
    theirs = defaultdict(dict)
    for name, figures in evaluated["results"].items():
        for metric, value in figures.items():
            theirs[name.rsplit("_", 1)[1].upper()][metric.removesuffix(",none")] = value
    assert set(theirs) == set(TASKS)
    for score in made["scores"]:
        name = score["metric"] if score["scoring"] == "strict" else f"published_{score['metric']}"
        if name in theirs[score["task"]]:
            assert theirs[score["task"]].pop(name) == pytest.approx(score["value"], abs=1e-6), (score["task"], name)
    left = {
        name
        for figures in theirs.values()
        for name in figures
        if "stderr" not in name and name.startswith("published_")
    }
    assert not left
