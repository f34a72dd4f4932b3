"""`ecellm benchmark`: convert, tune, predict, score; finished steps are kept; mistakes are reported."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmark_files import ditto, esci, extractgpt

from ecellm.experiments.benchmarks.measures import APART, EVERY, PUBLISHED
from ecellm.experiments.benchmarks.registry import BENCHMARKS
from ecellm.experiments.benchmarks.report import markdown
from ecellm.experiments.benchmarks.results import Result

Run = Callable[..., tuple[int, str, str]]


def result(out: Path) -> Result:
    return Result.model_validate_json((out / "benchmark.json").read_text())


def tiny(base: Path) -> list[object]:
    """Options for a recipe that tunes in seconds."""
    changes = (
        f"base={base}",
        "max_tokens=128",
        "optimisation.epochs=1",
        "optimisation.precision=fp32",
        "validation.per_epoch=1",
        "validation.fit_thresholds=false",
        "validation.calibrate=false",
    )
    return [option for change in changes for option in ("--set", change)]


def test_benchmarks_are_listed(run: Run) -> None:
    code, output, _ = run("benchmark")
    assert code == 0 and len(output.splitlines()) == len(BENCHMARKS)
    assert "amazon-google" in output and "OA-Mine" in output


@pytest.mark.slow
def test_a_pair_benchmark_is_tuned_for_each_seed_and_gone_on_with(run: Run, tiny_base: Path, tmp_path: Path) -> None:
    raw, out = ditto(tmp_path / "raw"), tmp_path / "out"
    line = ("benchmark", "amazon-google", "--data", raw, "--out", out, "--seeds", 2, *tiny(tiny_base))
    code, output, error = run(*line)
    assert code == 0, error
    found = result(out)
    assert [(one.kind, one.seed) for one in found.systems] == [
        ("mean", None),
        ("tuned", 42),
        ("tuned", 43),
        ("baseline", None),
    ]
    assert [view.view for view in found.systems[0].views] == [PUBLISHED, APART]
    assert found.counts == {"train": 12, "validation": 4, "test": 7} and found.crossing["test"] == 1
    mean, *seeds = (one.views[0].figures["f1"] for one in found.systems[:3])
    assert mean.value == pytest.approx(sum(one.value for one in seeds) / 2, abs=1e-5)
    assert mean.low <= mean.value <= mean.high
    assert found.systems[1].took["tune"].wall > 0 and found.systems[1].took["tune"].processor > 0
    assert set(found.systems[3].took) == {"fit", "predict"}
    assert output.startswith("# Amazon-Google, DeepMatcher's split (PM)")
    assert (out / "benchmark.md").read_text() == markdown(found)
    assert "| Ditto (RoBERTa, tuned) | 0.756 |" in output and "(not verified)" in output

    # Nothing is done twice; a removed model is not missed while its answers are there; another seed is added.
    shutil.rmtree(out / "xs-seed42" / "model")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("predictions.jsonl")}
    assert run(*line)[0] == 0 and result(out) == found
    assert {path: path.stat().st_mtime_ns for path in out.rglob("predictions.jsonl")} == before
    code, _, error = run(*line[:-1], "validation.fit_thresholds=true")
    assert code == 1 and "holds a run with another recipe" in error
    (raw / "test.txt").write_text((raw / "train.txt").read_text())
    code, _, error = run(*line)
    assert code == 1 and "holds other files than those that" in error


@pytest.mark.slow
def test_values_and_an_existing_model_are_scored(run: Run, tiny_base: Path, tmp_path: Path) -> None:
    raw, out = extractgpt(tmp_path / "raw"), tmp_path / "out"
    line = ("benchmark", "ae-110k", "--data", raw)
    code, _, error = run(*line, "--out", out, "--seeds", 1, "--limit", 20, *tiny(tiny_base))
    assert code == 0, error
    found = result(out)
    assert [one.kind for one in found.systems] == ["tuned", "baseline"] and found.limit == 20
    assert [view.view for view in found.systems[0].views] == [PUBLISHED, EVERY]
    # The dictionary knows the brand and the colours of training, and the title has their case.
    assert found.systems[1].views[0].figures["recall"].value == pytest.approx(2 / 3, abs=1e-5)

    model = out / "xs-seed42" / "model"
    code, output, error = run(*line, "--out", tmp_path / "other", "--model", model)
    assert code == 0, error
    again = result(tmp_path / "other")
    assert [one.kind for one in again.systems] == ["model", "baseline"] and again.recipe is None
    assert again.systems[0].views == found.systems[0].views
    assert "tuned on at most" not in output


def test_a_baseline_alone_is_scored_on_judgements(run: Run, tmp_path: Path) -> None:
    raw, out = esci(tmp_path / "raw"), tmp_path / "out"
    code, _, error = run("benchmark", "esci-mpc", "--data", raw, "--out", out, "--seeds", 0)
    assert code == 0, error
    (system,) = result(out).systems
    assert list(system.views[0].figures) == ["accuracy", "macro_f1"] and system.views[0].rows == 80
    assert "| baseline of the source | macro F1 | 0.230 |" in (tmp_path / "out" / "benchmark.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("amazon-gogle",), "Did you mean 'amazon-google'?"),
        (("amazon-google",), "Give --data: the folder with the files of amazon-google"),
        (("amazon-google", "--data", "RAW", "--baseline", "bm25"), "'bm25' is for QPR, not for PM"),
        (("amazon-google", "--data", "RAW", "--baseline", "tfdif"), "Did you mean 'tfidf'?"),
        (("amazon-google", "--data", "RAW", "--recipe", "xxs"), "There is no recipe 'xxs'"),
        (("amazon-google", "--data", "RAW", "--model", "openai:gpt"), "run `ecellm predict`"),
        (("amazon-google", "--data", "RAW", "--model", "m", "--set", "a=1"), "--set changes a recipe"),
        (("amazon-google", "--data", "NOWHERE"), "There is no folder NOWHERE"),
    ],
)
def test_a_mistake_is_one_sentence(
    options: tuple[str, ...], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ditto(tmp_path / "RAW")
    code, _, error = run("benchmark", *options)
    assert code == 1 and message in error and error.count("\n") == 1
    assert not list((tmp_path / "runs").rglob("*.parquet"))


def test_a_folder_of_something_else_is_not_written_into(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    code, _, error = run("benchmark", "abt-buy", "--data", ditto(tmp_path / "raw"), "--out", out)
    assert code == 1 and "exists already" in error and [path.name for path in out.iterdir()] == ["mine.txt"]
    record = {"benchmark": "amazon-google", "recipe": None, "limit": None}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text(json.dumps(record))
    code, _, error = run("benchmark", "abt-buy", "--data", tmp_path / "raw", "--out", tmp_path / "other")
    assert code == 1 and "holds a run with another benchmark" in error
