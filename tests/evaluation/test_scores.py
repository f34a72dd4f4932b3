"""A predictions file to SCORES.json: what is in it, what is refused, and that order does not matter."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_scoring import SameText

from ecellm.data.dataset import Dataset
from ecellm.errors import DataError, EcellmError
from ecellm.evaluation.evaluate import evaluate
from ecellm.types import Example
from published_rows import (
    IND,
    OOD,
    answers,
    dataset,
    lists,
    predictions,
    purchases,
    row,
    scores,
    stars,
    triple,
    values,
    yes_no,
)

Run = Callable[..., tuple[int, str, str]]
ANSWERED = ["yes", "no", "no", "no", "yes.", "perhaps"]
PM = yes_no(["yes", "yes", "no", "no", "yes", "no"])
EVERY = [
    *PM,
    *stars("ABCDE"),
    *purchases("AB"),
    *lists(["ES", "IEC"]),
    *values([[triple("color", "red")]]),
    *values([[triple("size", "9")]], domain="OOD"),
    *answers(["It is.", "No."]),
]


def test_score_rows_hold_the_contract(tmp_path: Path) -> None:
    made = evaluate(predictions(tmp_path / "p.jsonl", PM, ANSWERED), dataset(tmp_path / "d", PM))
    strict, published = scores(made, "f1"), scores(made, "f1", "published")
    assert strict == {
        "task": "PM",
        "setting": IND,
        "scoring": "strict",
        "metric": "f1",
        "main": True,
        "value": 0.8,
        "low": strict["low"],
        "high": strict["high"],
        "n": 6,
        "unparsed": 1,
        "missing": 0,
        "floor": round(2 / 3, 6),
        "floor_name": "always yes",
    }
    assert 0 <= strict["low"] < 0.8 < strict["high"] <= 1
    assert published["unparsed"] == 2 and published["value"] == round(2 / 3, 6)
    assert [row["metric"] for row in made["scores"] if row["main"]] == ["f1", "f1"]
    names = ["accuracy", "precision", "recall", "f1", "specificity", "npv"]
    assert [row["metric"] for row in made["scores"]] == names * 2


def test_every_task_is_scored_by_its_metric(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d", EVERY)
    file = tmp_path / "p.jsonl"
    inside = [example for example in EVERY if example.domain == "IND"]
    outside = [example for example in EVERY if example.domain == "OOD"]
    text = predictions(file, inside, [example.output for example in inside]).read_text()
    file.write_text(text + predictions(file, outside, [example.output for example in outside], OOD).read_text())
    made = evaluate(file, data, pairs=SameText())
    main = {(row["task"], row["setting"]): row for row in made["scores"] if row["main"]}
    assert {task: row["metric"] for (task, _), row in main.items()} == {
        "AVE": "f1",
        "PM": "f1",
        "SA": "macro_f1",
        "SR": "hr@1",
        "QPR": "ndcg",
        "AG": "bertscore_f1",
    }
    assert all(row["value"] == pytest.approx(1.0, abs=1e-4) for row in main.values())
    assert ("AVE", OOD) in main
    for score in made["scores"]:
        assert ("model" in score) == score["metric"].startswith("bertscore_")


def test_missing_predictions_stand_beside_the_rest(tmp_path: Path) -> None:
    made = evaluate(predictions(tmp_path / "p.jsonl", PM[:2], ["yes", "yes"]), dataset(tmp_path / "d", EVERY))
    row = scores(made, "accuracy")
    assert (row["n"], row["missing"], row["value"]) == (2, 4, 1.0)
    silent = {(entry["task"], entry["setting"], entry["missing"]) for entry in made["not_scored"]}
    assert ("SA", IND, 5) in silent and ("PM", "IND_Unseen_Instruction", 6) in silent
    assert ("AVE", OOD, 1) in silent and ("PM", IND, 4) not in silent


def test_rankings_without_labels_do_not_stop_the_rest(tmp_path: Path) -> None:
    bare = row("QPR", 0, "A,B", json.dumps({"query": "mug", "product list": ["A: x", "B: y"]}))
    examples = [PM[0], bare]
    made = evaluate(predictions(tmp_path / "p.jsonl", examples, ["yes", "A,B"]), dataset(tmp_path / "d", examples))
    assert scores(made, "accuracy")["value"] == 1.0
    reasons = [entry["reason"] for entry in made["not_scored"] if entry["setting"] == IND]
    assert len(reasons) == 1 and "--qpr-labels" in reasons[0]


def test_answers_under_a_setting_that_the_dataset_lacks_are_not_passed_over(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d", [one for one in EVERY if one.domain == "IND"])
    file = predictions(tmp_path / "p.jsonl", PM, ANSWERED)
    lacks = patch.object(Dataset, "settings", lambda self: ["IND_Unseen_Instruction"])  # as an imported file may be
    with lacks, pytest.raises(DataError, match=f"has answers under {IND}, under which the dataset has no test rows"):
        evaluate(file, data)


def test_the_scores_name_the_model_that_the_record_names(tmp_path: Path) -> None:
    data, file = dataset(tmp_path / "d", PM), predictions(tmp_path / "p.jsonl", PM, ANSWERED)
    assert "model" not in evaluate(file, data)
    (tmp_path / "p.jsonl.meta.json").write_text('{"model": "1f0", "decoding": "closed"}')
    assert evaluate(file, data)["model"] == "1f0"


def test_the_order_of_lines_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d", PM)
    file = predictions(tmp_path / "p.jsonl", PM, ANSWERED)
    made = evaluate(file, data)
    lines = file.read_text().splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    file.write_text("\n".join(lines))  # blank lines between are nothing
    assert evaluate(file, data) == made
    assert evaluate(file, data, seed=43)["scores"] != made["scores"]


@pytest.mark.parametrize("extra", [[], ["--errors"]])
def test_what_is_read_is_never_written_over(tmp_path: Path, run: Run, extra: list[str]) -> None:
    data = dataset(tmp_path / "d", PM)
    file = predictions(tmp_path / "p.jsonl", PM, ANSWERED)
    before = file.read_bytes()
    out = tmp_path / "s.json" if extra else file
    line = ["evaluate", file, "--data", data.path, "--out", out, *extra, *[file for _ in extra], "--overwrite"]
    code, _, err = run(*line)
    assert code == 1 and "p.jsonl is read too, or named twice" in err
    assert file.read_bytes() == before and not (tmp_path / "s.json").exists()


@pytest.mark.parametrize("name", ["test.parquet", "manifest.json"])
@pytest.mark.parametrize("verb", ["evaluate", "compare", "report", "card"])
def test_no_file_of_the_dataset_is_written_over(tmp_path: Path, run: Run, verb: str, name: str) -> None:
    data = dataset(tmp_path / "d", PM)
    file = predictions(tmp_path / "p.jsonl", PM, ANSWERED)
    before = (data.path / name).read_bytes()
    runs = {"evaluate": [file], "compare": [file, file], "report": [file], "card": [data.path]}[verb]
    more = [] if verb == "card" else ["--data", data.path, "--overwrite"]
    code, _, err = run(verb, *runs, *more, "--out", data.path / name)
    assert code == 1 and f"{name} is read too, or named twice" in err
    assert (data.path / name).read_bytes() == before


def test_scores_and_errors_have_files_of_their_own(tmp_path: Path, run: Run) -> None:
    data = dataset(tmp_path / "d", PM)
    file = predictions(tmp_path / "p.jsonl", PM, ANSWERED)
    out = tmp_path / "s.json"
    code, _, err = run("evaluate", file, "--data", data.path, "--out", out, "--errors", out)
    assert code == 1 and "s.json is read too, or named twice" in err and not out.exists()


def test_a_mark_that_some_editors_write_first_is_nothing(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d", PM)
    file = predictions(tmp_path / "p.jsonl", PM, ANSWERED)
    made = evaluate(file, data)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert evaluate(file, data) == made


GOOD = {"id": PM[0].id, "task": "PM", "setting": IND, "text": "yes"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"id": "PM-IND-te', "not valid JSON"),
        (b"[" * 100_000, "JSON that is nested too deeply"),
        (b"\xff\xfe", "not UTF-8"),
        (b"3", "not a JSON object"),
        (json.dumps({**GOOD, "text": None}).encode(), "'text' is missing or not text"),
        (json.dumps({"id": PM[1].id, "task": "PM", "setting": IND}).encode(), "'text' is missing"),
        (json.dumps({**GOOD, "id": "PM-IND-9"}).encode(), "no test row 'PM-IND-9'"),
        (json.dumps({**GOOD, "id": PM[1].id, "task": "SA"}).encode(), "is a row of PM, not of SA"),
        (json.dumps({**GOOD, "id": PM[1].id, "task": "XX"}).encode(), "unknown task 'XX'"),
        (json.dumps({**GOOD, "id": PM[1].id, "setting": OOD}).encode(), "its domain is IND"),
        (json.dumps({**GOOD, "setting": "IND"}).encode(), "Unknown setting 'IND'"),
        (json.dumps(GOOD).encode(), "on line 1 already"),
        (json.dumps({**GOOD, "id": PM[1].id})[:-1].encode() + b', "text": "no"}', "object that gives text twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, problem: str) -> None:
    file = tmp_path / "p.jsonl"
    file.write_bytes(json.dumps(GOOD).encode() + b"\n\n" + line + b"\n")
    with pytest.raises(EcellmError, match=rf"p\.jsonl, line 3: .*{problem}"):
        evaluate(file, dataset(tmp_path / "d", PM))


def test_a_training_row_is_no_test_row(tmp_path: Path) -> None:
    train = row("PM", 0, "yes", "{}", split="train")
    data = dataset(tmp_path / "d", [train, *PM])
    with pytest.raises(EcellmError, match="no test row 'PM-IND-train-0000'"):
        evaluate(predictions(tmp_path / "p.jsonl", [train], ["yes"]), data)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(content)
    with pytest.raises(EcellmError, match="has no predictions"):
        evaluate(file, dataset(tmp_path / "d", PM))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match="cannot be read"):
        evaluate(tmp_path / "none.jsonl", dataset(tmp_path / "d", PM))
    with pytest.raises(EcellmError, match="cannot be read"):
        evaluate(tmp_path, dataset(tmp_path / "d", PM))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=20), min_size=len(EVERY), max_size=len(EVERY)))
def test_any_text_can_be_scored(tmp_path: Path, texts: list[str]) -> None:
    inside = [example for example in EVERY if example.domain == "IND"]
    data = dataset(tmp_path / "d", EVERY)
    made = evaluate(predictions(tmp_path / "p.jsonl", inside, texts[: len(inside)]), data, pairs=SameText())
    for score in made["scores"]:
        assert score["low"] <= score["high"] and score["n"] > 0
        if score["scoring"] == "strict":
            assert 0 <= score["value"] <= 1 and 0 <= score["floor"] <= 1
            assert 0 <= score["unparsed"] <= score["n"]


def test_thousands_of_predictions_have_the_rows_of_a_few(tmp_path: Path) -> None:
    many: list[Example] = [*yes_no(["yes", "no"] * 500), *stars("ABCDE" * 200), *purchases("ABCD" * 250)]
    many += [*lists(["ES", "IEC", "CSIE", "SE"] * 250), *values([[triple("color", "red")]] * 1000)]
    data = dataset(tmp_path / "d", many)
    file = predictions(tmp_path / "p.jsonl", many, [example.output for example in many])
    made = evaluate(file, data)
    assert len(made["scores"]) == 2 * (6 + 4 + 1 + 1 + 3)
    assert {row["n"] for row in made["scores"]} == {1000}
    assert all(row["value"] == pytest.approx(1.0, abs=1e-4) for row in made["scores"] if row["main"])


def test_scoring_needs_no_engine() -> None:
    code = "import sys, ecellm.evaluation.evaluate, ecellm.models.baselines.tfidf; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"duckdb", "ibis", "pyspark", "torch"} & set(loaded)
