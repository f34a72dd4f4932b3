"""What stands behind the figures: calibration, confusion, unparsed texts, None triples, lengths, slices, errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scoring import SameText

from ecellm.errors import EcellmError
from ecellm.evaluation.calibration_error import BINS, calibration, calibration_error, calibration_stats
from ecellm.evaluation.evaluate import evaluate, write_scores
from ecellm.evaluation.worst_errors import worst_errors, write_errors
from ecellm.types import Example
from published_rows import (
    IND,
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

PM = yes_no(["yes", "yes", "no", "no"])


def write_predictions(file: Path, examples: list[Example], texts: list[str], probabilities: list[Any]) -> Path:
    """Write predictions with probabilities (None: without)."""
    lines = [json.loads(line) for line in predictions(file, examples, texts).read_text().splitlines()]
    for line, probability in zip(lines, probabilities, strict=True):
        line |= {} if probability is None else {"probability": probability}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def detail(made: dict[str, Any], task: str) -> dict[str, Any]:
    (found,) = [found for found in made["details"] if found["task"] == task]
    return found


def test_the_calibration_error_by_hand() -> None:
    # Bin .6 to .7: probabilities .6 and .68, one of two right; bin .9 to 1: 1, right.
    stats = calibration_stats([0.6, 0.68, 1.0, None], np.array([1.0, 0.0, 1.0, 1.0]))
    assert stats.shape == (4, 3 * BINS)
    found = calibration(stats.sum(0), stats.sum(0)[None])
    assert found["ece"] == pytest.approx((2 * abs(0.5 - 0.64) + 0) / 3)
    assert found["low"] == found["high"] == pytest.approx(found["ece"])
    assert found["n"] == 3
    assert found["bins"][0] == {"from": 0.6, "to": 0.7, "n": 2, "probability": pytest.approx(0.64), "accuracy": 0.5}
    assert found["bins"][1]["n"] == 1 and found["bins"][1]["accuracy"] == 1.0


@given(rows=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_the_calibration_error_is_bounded_and_order_does_not_matter(rows: list[tuple[float, bool]]) -> None:
    def error(of: list[tuple[float, bool]]) -> float:
        stats = calibration_stats([probability for probability, _ in of], np.array([float(right) for _, right in of]))
        return float(calibration_error(stats.sum(0))["ece"])

    assert 0 <= error(rows) <= 1
    assert error(rows[::-1]) == pytest.approx(error(rows)) == pytest.approx(error(rows * 2))


def test_choices_with_probabilities_are_calibrated(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d", PM)
    file = write_predictions(tmp_path / "p.jsonl", PM, ["yes", "no", "no", "no"], [0.95, 0.95, 0.95, None])
    found = detail(evaluate(file, data), "PM")["calibration"]
    assert found["n"] == 3 and found["ece"] == pytest.approx(0.95 - 2 / 3, abs=1e-6)
    assert found["low"] <= found["ece"] <= found["high"]
    assert "calibration" not in detail(evaluate(predictions(file, PM, ["no"] * 4), data), "PM")


@pytest.mark.parametrize("probability", ["high", -0.1, 1.1, True, [1]])
def test_a_probability_out_of_form_is_named(tmp_path: Path, probability: Any) -> None:
    file = write_predictions(tmp_path / "p.jsonl", PM, ["yes"] * 4, [0.5, probability, None, 1.0000001])
    with pytest.raises(EcellmError, match="line 2: 'probability' is no number from 0 to 1"):
        evaluate(file, dataset(tmp_path / "d", PM))


def test_confusion_and_the_commonest_unparsed_texts(tmp_path: Path) -> None:
    examples = stars("AABE")
    file = predictions(tmp_path / "p.jsonl", examples, ["A: very positive", "good", "good", "what\ud800"])
    made = evaluate(file, dataset(tmp_path / "d", examples))
    found = detail(made, "SA")
    assert found["confusion"] == {
        "classes": ["A", "B", "E"],
        "rows": [[1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]],
    }
    assert found["unparsed_texts"] == [{"text": "good", "rows": 2}, {"text": "what\ud800", "rows": 1}]
    write_scores(made, tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text()) == json.loads(json.dumps(made))


def test_none_triples_are_told_apart(tmp_path: Path) -> None:
    red, none = triple("color", "red"), triple("size", "None")
    examples = values([[red, none], [triple("color", "None")]])
    texts = [json.dumps([none, none, triple("color", "blue")]), json.dumps([triple("color", "None"), red])]
    found = detail(
        evaluate(predictions(tmp_path / "p.jsonl", examples, texts), dataset(tmp_path / "d", examples)), "AVE"
    )
    assert found["none_triples"] == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "hits": 2, "answered": 2, "labelled": 2,
    }  # fmt: skip
    assert found["value_triples"] == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "hits": 0, "answered": 2, "labelled": 1,
    }  # fmt: skip


def test_lengths_of_free_texts(tmp_path: Path) -> None:
    examples = answers(["one two", "one"])
    file = predictions(tmp_path / "p.jsonl", examples, ["a b c d", " "])
    found = detail(evaluate(file, dataset(tmp_path / "d", examples), pairs=SameText()), "AG")["words"]
    assert found == {
        "answers": {"mean": 2.0, "median": 2.0, "most": 4},
        "references": {"mean": 1.5, "median": 1.5, "most": 2},
    }


def slices(made: dict[str, Any], metric: str) -> dict[tuple[str, str], tuple[float, int]]:
    return {
        (row["task"], row["slice"]): (row["value"], row["n"]) for row in made["slices"] if row["metric"] == metric
    }


def test_slices_by_label_category_length_and_column(tmp_path: Path) -> None:
    pm = [
        Example(f"PM-{place}", "PM", "IND", "test", "word " * (place + 1), None, label, category=category)
        for place, (label, category) in enumerate([("yes", "Toys"), ("no", "Toys"), ("yes", None)])
    ]
    ave = values([[triple("color", "red")], [triple("color", "None")]])
    examples = [*pm, *ave, *purchases("A")]
    data = dataset(tmp_path / "d", examples)
    texts = ["yes", "yes", "no", *(example.output for example in ave), "B"]
    file = predictions(tmp_path / "p.jsonl", examples, texts)
    made = evaluate(file, data, by=["label", "category"])
    assert slices(made, "accuracy") == {
        ("PM", "yes"): (0.5, 2),
        ("PM", "no"): (0.0, 1),
        ("PM", "Toys"): (0.5, 2),
        ("PM", "(none)"): (0.0, 1),
    }
    assert slices(made, "f1")["AVE", "with a value"] == slices(made, "f1")["AVE", "without a value"] == (1.0, 1)
    assert ("SR", "A") not in slices(made, "hr@1") and slices(made, "hr@1")["SR", "(none)"] == (0.0, 1)
    assert {row["by"] for row in made["slices"]} == {"label", "category"}
    assert all(row["scoring"] == "strict" and row["low"] <= row["high"] for row in made["slices"])
    by_length = slices(evaluate(file, data, by=["length"]), "accuracy")
    assert sum(n for _, n in by_length.values()) == 3 and ("PM", "to 1 words") in by_length
    by_column = slices(evaluate(file, data, by=["domain"]), "accuracy")
    assert by_column["PM", "IND"] == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert "slices" not in evaluate(file, data)


def test_slices_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    many = yes_no(["yes", "no"] * 30)
    data = dataset(tmp_path / "d", many)
    file = predictions(tmp_path / "p.jsonl", many, ["yes"] * 60)
    with pytest.raises(EcellmError, match="no slices by 'colour': choose category, length, label or a column"):
        evaluate(file, data, by=["colour"])
    with pytest.raises(EcellmError, match="PM has 60 values of 'id', more than 50"):
        evaluate(file, data, by=["id"])


def test_bleurt_values_of_a_file_become_rows(tmp_path: Path) -> None:
    examples = answers(["a", "b", "c"])
    data = dataset(tmp_path / "d", examples)
    file = predictions(tmp_path / "p.jsonl", examples, ["a", "b", "x"])
    lines = [
        {"id": example.id, "setting": IND, "bleurt": value}
        for example, value in zip(examples[:2], (0.5, -0.1), strict=True)
    ]
    bleurt = tmp_path / "bleurt.jsonl"
    bleurt.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = evaluate(file, data, pairs=SameText(), bleurt=bleurt)
    for scoring in ("strict", "published"):
        found = scores(made, "bleurt", scoring)
        assert (found["value"], found["n"], found["missing"], found["main"]) == (pytest.approx(0.2), 2, 1, False)
        assert found["floor"] is None and "model" not in found
    for line, problem in (
        ({**lines[0], "bleurt": "x"}, "line 1: 'bleurt' is missing or not a number"),
        ({**lines[0], "bleurt": float("nan")}, "line 1: 'bleurt' is missing or not a number"),
        ({**lines[0], "id": "AG-9"}, "line 1: the dataset has no test row 'AG-9'"),
        ({**lines[0], "setting": "IND"}, "line 1: Unknown setting"),
    ):
        bleurt.write_text(json.dumps(line))
        with pytest.raises(EcellmError, match=problem):
            evaluate(file, data, pairs=SameText(), bleurt=bleurt)
    bleurt.write_text("")
    with pytest.raises(EcellmError, match="has no BLEURT values"):
        evaluate(file, data, pairs=SameText(), bleurt=bleurt)


def test_the_worst_errors_come_first(tmp_path: Path) -> None:
    examples = [
        *PM,
        *lists(["ES", "IEC"]),
        row("QPR", 9, "A,B", json.dumps({"query": "q", "product list": ["A: x", "B: y"]})),
    ]
    data = dataset(tmp_path / "d", examples[:-1])
    file = write_predictions(
        tmp_path / "p.jsonl",
        examples[:-1],
        ["no", "no", "perhaps", "no", "B,A", "C,B,A"],
        [0.6, 0.9, None, 1.0, None, None],
    )
    found = worst_errors(file, data)
    assert [(error["id"], error["parsed"]) for error in found[:3]] == [
        (PM[1].id, True),  # the surest mistake
        (PM[0].id, True),
        (PM[2].id, False),
    ]
    assert [error["task"] for error in found[3:]] == ["QPR", "QPR"]
    assert found[3]["score"] < found[4]["score"] < 1
    first = found[0]
    assert (first["answer"], first["reference"], first["probability"], first["score"]) == ("no", "yes", 0.9, 0.0)
    assert first["instruction"] and first["input"] == "{}" and first["options"] is None
    assert [error["id"] for error in worst_errors(file, data, most=1)] == [PM[1].id, found[3]["id"]]
    assert worst_errors(file, data, settings=[IND]) == found and worst_errors(file, data, settings=[]) == []
    write_errors(found, tmp_path / "errors.jsonl")
    assert [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()] == found


def test_errors_of_what_cannot_be_scored_are_left_out(tmp_path: Path) -> None:
    bare = row("QPR", 0, "A,B", json.dumps({"query": "mug", "product list": ["A: x", "B: y"]}))
    examples = [PM[0], bare]
    file = predictions(tmp_path / "p.jsonl", examples, ["no", "B,A"])
    assert [error["task"] for error in worst_errors(file, dataset(tmp_path / "d", examples))] == ["PM"]
