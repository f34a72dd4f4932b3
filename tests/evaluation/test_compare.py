"""Two runs side by side: what is beyond noise, what is not, and what cannot be compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.evaluation.compare import (
    Difference,
    compare_runs,
    compare_scores,
    holm,
    not_compared,
    randomised,
    read_differences,
)
from ecellm.evaluation.evaluate import evaluate, write_scores
from ecellm.evaluation.runs import ScoredRun, read_run, read_runs
from ecellm.reports.tables import p_text
from ecellm.tasks.metrics import hit_figures
from ecellm.tasks.scored import Scored
from published_rows import IND, dataset, predictions, stars, yes_no

Run_ = Callable[..., tuple[int, str, str]]
PM = yes_no(["yes", "no"] * 100)
SA = stars("ABCDE" * 20)
RIGHT = [example.output for example in PM]
FLIPPED = ["no" if text == "yes" else "yes" for text in RIGHT]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset(tmp_path / "data", [*PM, *SA])


def run_of(data: Dataset, file: Path, wrong: int, first: int = 0) -> ScoredRun:
    """Return a run that has `wrong` of PM's answers wrong, from the first on, and SA's right."""
    texts = [*RIGHT[:first], *FLIPPED[first : first + wrong], *RIGHT[first + wrong :]]
    predictions(file, [*PM, *SA], [*texts, *(example.output for example in SA)])
    return ScoredRun(file.stem, file, evaluate(file, data), file, data)


def found(differences: list[Difference], task: str = "PM") -> Difference:
    (one,) = [difference for difference in differences if difference.task == task]
    return one


def test_a_run_is_as_good_as_itself(data: Dataset, tmp_path: Path) -> None:
    run = run_of(data, tmp_path / "a.jsonl", 40)
    differences, paired = compare_runs(run, run, 1)
    assert paired and {found.task for found in differences} == {"PM", "SA"}
    for one in differences:
        assert (one.change, one.low, one.high, one.p, one.adjusted) == (0, 0, 0, 1, 1)
        assert one.verdict == "within noise" and one.left_out == 0 and one.detectable == 0
    assert found(differences).n == 200


def test_a_large_difference_is_beyond_noise_both_ways(data: Dataset, tmp_path: Path) -> None:
    good, bad = run_of(data, tmp_path / "a.jsonl", 10), run_of(data, tmp_path / "b.jsonl", 60)
    worse = found(compare_runs(good, bad, 1)[0])
    better = found(compare_runs(bad, good, 1)[0])
    assert worse.verdict == "worse" and better.verdict == "better"
    assert worse.change == pytest.approx(-better.change) and worse.p == better.p
    assert worse.low < worse.change < worse.high < 0
    assert worse.adjusted == min(1, 2 * worse.p)
    assert 0 < worse.detectable < abs(worse.change)


def test_a_small_difference_is_within_noise_and_below_what_is_detectable(data: Dataset, tmp_path: Path) -> None:
    runs = run_of(data, tmp_path / "a.jsonl", 30), run_of(data, tmp_path / "b.jsonl", 33, first=100)
    one = found(compare_runs(*runs, 1)[0])
    assert one.verdict == "within noise" and one.low < 0 < one.high and one.detectable > abs(one.change)


def test_accuracy_agrees_with_the_exact_sign_test(data: Dataset, tmp_path: Path) -> None:
    """For HR@1 and accuracy randomisation is McNemar's test: only rows that one of the two has right count."""
    examples = list(SA)
    before = ["E: very negative" if place < 30 else example.output for place, example in enumerate(examples)]
    after = ["E: very negative" if 20 <= place < 34 else example.output for place, example in enumerate(examples)]
    wrong = [
        sum(text != example.output for text, example in zip(part, examples, strict=True)) for part in (before, after)
    ]
    lone = [
        sum(
            first[place] != example.output and second[place] == example.output
            for place, example in enumerate(examples)
        )
        for first, second in ((before, after), (after, before))
    ]
    assert wrong[0] - wrong[1] == lone[0] - lone[1]
    hits = [
        np.array([[float(text == example.output), 1.0] for text, example in zip(part, examples, strict=True)])
        for part in (before, after)
    ]
    found = randomised(Scored(hits[0], hit_figures), "hr@1", *hits, 3, "SR")
    assert found == pytest.approx(binomtest(min(lone), sum(lone)).pvalue, abs=0.02)


def test_noise_alone_is_rarely_called_more(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    low = 0
    for trial in range(100):
        hits = [np.stack([generator.random(150) < 0.6, np.ones(150)], axis=1).astype(float) for _ in range(2)]
        low += randomised(Scored(hits[0], hit_figures), "hr@1", *hits, trial) < 0.05
    assert low <= 11


def test_only_rows_that_both_answered_count(data: Dataset, tmp_path: Path) -> None:
    runs = run_of(data, tmp_path / "a.jsonl", 30), run_of(data, tmp_path / "b.jsonl", 30)
    lines = (tmp_path / "b.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "b.jsonl").write_text("".join(lines[:150]))
    differences, _ = compare_runs(*runs, 1)
    assert len(differences) == 1
    assert (found(differences).n, found(differences).left_out, found(differences).change) == (150, 50, 0)


def test_scores_alone_are_compared_by_their_intervals(data: Dataset, tmp_path: Path) -> None:
    good, bad = run_of(data, tmp_path / "a.jsonl", 10), run_of(data, tmp_path / "b.jsonl", 60)
    alone = [ScoredRun(run.name, run.path, run.scores) for run in (good, bad)]
    differences, paired = compare_runs(*alone, 1)
    assert not paired and found(differences).verdict == "worse"
    with_answers = found(compare_runs(good, bad, 1)[0])
    assert found(differences).change == pytest.approx(with_answers.change, abs=1e-6)
    assert found(differences).detectable > with_answers.detectable  # of different rows, less is noticed
    assert found(differences, "SA").p == 1.0  # no interval, no difference


def test_other_datasets_and_nothing_in_common_are_refused(data: Dataset, tmp_path: Path) -> None:
    run = run_of(data, tmp_path / "a.jsonl", 10)
    moved = ScoredRun("moved", tmp_path / "m", {**(run.scores or {}), "dataset": "other"})
    with pytest.raises(EcellmError, match="of different datasets"):
        compare_runs(run, moved, 1)
    predictions(tmp_path / "sa.jsonl", SA, ["A"] * len(SA))
    predictions(tmp_path / "pm.jsonl", PM, ["yes"] * len(PM))
    apart = [ScoredRun(name, tmp_path / name, None, tmp_path / name, data) for name in ("sa.jsonl", "pm.jsonl")]
    with pytest.raises(EcellmError, match="no answered row in common"):
        compare_runs(*apart, 1)
    scores = [[row for row in run.rows() if row["task"] == task] for task in ("PM", "SA")]
    with pytest.raises(EcellmError, match="no task and setting in common"):
        compare_scores(*scores)
    with pytest.raises(EcellmError, match=r"has no scores\.json"):
        compare_runs(apart[0], ScoredRun("x", tmp_path / "x", run.scores), 1)


def difference(p: float) -> Difference:
    return Difference("PM", "s", "f1", 0.5, 0.6, 0.0, 0.2, 10, 0, 0.1, p)


def test_another_dataset_than_that_of_the_scores_is_refused(data: Dataset, tmp_path: Path, run: Run_) -> None:
    one = run_of(data, tmp_path / "a.jsonl", 10)
    write_scores(one.scores or {}, tmp_path / "a.json")
    other = dataset(tmp_path / "other", PM)
    code, _, err = run("compare", tmp_path / "a.json", tmp_path / "a.json", "--data", other.path)
    assert code == 1 and "a.json was scored on another dataset than" in err
    folder = tmp_path / "run"
    dataset(folder / "dataset", [*PM, *SA])
    write_scores(one.scores or {}, folder / "scores.json")
    found = read_run(str(folder), other).dataset  # a folder's own dataset is taken where the scores are of it
    assert found is not None and found.path == folder / "dataset"


def test_holm_by_hand() -> None:
    adjusted = [one.adjusted for one in holm([difference(p) for p in (0.01, 0.04, 0.03, 0.005)])]
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers(ps: list[float]) -> None:
    adjusted = [one.adjusted for one in holm([difference(p) for p in ps])]
    assert all(p <= new <= 1 for p, new in zip(ps, adjusted, strict=True))
    order = np.argsort(ps, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_the_verb_guards_a_pipeline(data: Dataset, tmp_path: Path, run: Run_) -> None:
    good, bad = run_of(data, tmp_path / "good.jsonl", 10), run_of(data, tmp_path / "bad.jsonl", 60)
    code, out, err = run("compare", tmp_path / "good.jsonl", tmp_path / "bad.jsonl", "--data", data.path)
    assert code == 1 and "ecellm: regression beyond noise: PM IND_Diverse_Instruction." in err
    assert "worse" in out and "approximate randomisation" in " ".join(out.split())
    code, out, err = run(
        "compare", f"old={tmp_path / 'bad.jsonl'}", f"new={tmp_path / 'good.jsonl'}", "--data", data.path
    )
    assert (code, err) == (0, "") and "old and new" in out and "better" in out
    for one in (good, bad):
        write_scores(one.scores or {}, tmp_path / f"{one.name}.json")
    code, out, err = run("compare", tmp_path / "good.json", tmp_path / "bad.json", "--scoring", "published")
    assert code == 1 and "regression" in err and "answers are missing" in " ".join(out.split())
    code, _, err = run("compare", tmp_path / "good.jsonl", tmp_path / "bad.jsonl")
    assert code == 1 and "error:" in err and "--data" in err and "regression" not in err


def test_the_verb_names_what_it_could_not_compare(data: Dataset, tmp_path: Path, run: Run_) -> None:
    """A task that the new run did not answer is no regression, but never passes unsaid."""
    whole = run_of(data, tmp_path / "a.jsonl", 10)
    predictions(tmp_path / "part.jsonl", PM, RIGHT)
    code, _, err = run("compare", tmp_path / "a.jsonl", tmp_path / "part.jsonl", "--data", data.path)
    assert (code, err) == (0, f"ecellm: not compared (part has no answers): {IND} (SA).\n")
    for name, scores in (("old", whole.scores or {}), ("new", evaluate(tmp_path / "part.jsonl", data))):
        (tmp_path / name).mkdir()
        write_scores(scores, tmp_path / name / "scores.json")
    code, out, err = run("compare", tmp_path / "old" / "scores.json", tmp_path / "new" / "scores.json")
    assert code == 0 and f"{IND} (SA)" in err
    assert "old/scores.json and new/scores.json" in out
    assert "old (old) and old (new)" in run("compare", *[f"old={tmp_path / 'old' / 'scores.json'}"] * 2)[1]


def test_figures_of_other_scoring_models_are_said_not_to_be_compared(data: Dataset, tmp_path: Path) -> None:
    run = run_of(data, tmp_path / "a.jsonl", 10)
    rows = [{**row, "model": "other"} if row["task"] == "SA" else row for row in run.rows()]
    alone = ScoredRun("x", tmp_path, run.scores), ScoredRun("y", tmp_path, {"scores": rows})
    differences, _ = compare_runs(*alone, 1)
    assert {found.task for found in differences} == {"PM"}
    assert not_compared(*alone, differences) == {"no row, or no scoring model, in common": [f"{IND} (SA)"]}


def test_p_values_never_print_as_nought() -> None:
    assert [p_text(p) for p in (1.0, 0.03125, 0.0001, 0.00001, 0.0)] == [
        "1.0000", "0.0312", "0.0001", "<0.0001", "<0.0001"
    ]  # fmt: skip


def test_differences_are_written_and_read_back(data: Dataset, tmp_path: Path, run: Run_) -> None:
    runs = run_of(data, tmp_path / "good.jsonl", 10), run_of(data, tmp_path / "bad.jsonl", 60)
    out = tmp_path / "differences.json"
    line = ("compare", tmp_path / "good.jsonl", tmp_path / "bad.jsonl", "--data", data.path, "--out", out)
    assert run(*line)[0] == 1
    assert read_differences(out) == compare_runs(*runs, 42)
    assert json.loads(out.read_text())["differences"][0]["verdict"] == "worse"
    code, _, err = run(*line)
    assert code == 1 and "--overwrite" in err and "regression" not in err
    edited = json.loads(out.read_text())
    edited["differences"][0]["p"] = None
    out.write_text(json.dumps(edited))
    with pytest.raises(EcellmError, match=r"differences\[0\]\.p is not a number"):
        read_differences(out)
    out.write_text("{}")
    with pytest.raises(EcellmError, match="has no differences"):
        read_differences(out)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("{", "is not valid JSON"), ("[]", "not a JSON object"), ('{"scores": [1]}', "has no scores")],
)
def test_what_is_no_run_is_named(tmp_path: Path, content: Any, problem: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(EcellmError, match=problem):
        read_run(str(tmp_path / "s.json"))
    with pytest.raises(EcellmError, match="There is no run"):
        read_run(str(tmp_path / "none.json"))
    with pytest.raises(EcellmError, match="is no run: it has neither"):
        read_run(str(tmp_path))


ROW = {
    "task": "PM",
    "setting": "IND_Single_Instruction",
    "scoring": "strict",
    "metric": "f1",
    "main": True,
    "value": 0.5,
    "low": 0.4,
    "high": 0.6,
    "n": 9,
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"scores": [ROW, ROW | {"value": None}]}, r"scores\[1\]\.value is not a number"),
        ({"scores": [ROW | {"low": "0.4"}]}, r"scores\[0\]\.low is not a number"),
        ({"scores": [ROW | {"high": float("nan")}]}, r"scores\[0\]\.high is not a number"),
        ({"scores": [ROW | {"n": 9.5}]}, r"scores\[0\]\.n is not a whole number"),
        ({"scores": [ROW | {"main": 1}]}, r"scores\[0\]\.main is not true or false"),
        ({"scores": [ROW | {"floor": "0"}]}, r"scores\[0\]\.floor is not a number"),
        ({"not_scored": 7}, "not_scored is no list"),
        (
            {"not_scored": [{"task": "PM", "setting": "IND_Single_Instruction"}]},
            r"not_scored\[0\]\.missing is missing",
        ),
        ({"details": 7}, "details is no list"),
        ({"details": [{"task": "PM"}]}, r"details\[0\]\.unparsed_texts is missing"),
        ({"slices": [7]}, r"slices\[0\] is no object"),
        ({"bootstrap": 7}, "bootstrap is no object"),
        ({"bootstrap": {"draws": "1000"}}, r"bootstrap\.draws is not a number"),
    ],
)
def test_edited_scores_are_refused_with_the_place(
    tmp_path: Path, run: Run_, change: dict[str, Any], problem: str
) -> None:
    file, whole = tmp_path / "s.json", tmp_path / "whole.json"
    whole.write_text(json.dumps({"scores": [ROW]}))
    assert read_run(str(whole)).rows() == [ROW]
    file.write_text(json.dumps({"scores": [ROW]} | change))
    with pytest.raises(EcellmError, match=rf"s\.json: {problem}\. Write it with"):
        read_run(str(file))
    assert run("compare", whole, file)[0] == 1
    assert run("report", file, "--out", tmp_path / "page.html")[0] == 1


def test_runs_have_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a=b.json").write_text(json.dumps({"scores": []}))
    assert read_run(str(tmp_path / "a=b.json")).name == "a=b"
    assert [run.name for run in read_runs([f"x={tmp_path / 'a=b.json'}", str(tmp_path / "a=b.json")])] == ["x", "a=b"]
    with pytest.raises(EcellmError, match="Two runs are named 'a=b'"):
        read_runs([str(tmp_path / "a=b.json")] * 2)
