"""`ecellm ask TASK http://...`: a service's model answers a table as it would here, and no table gets two models'."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecellm.data.dataset import Dataset
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.remote import client as remote
from ecellm.serving.batching import QueueFullError
from ecellm.serving.served_model import ServedModel
from ecellm.serving.service import Loaded
from ecellm.tasks import TASKS
from live_service import Live, live

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
Run = Callable[..., tuple[int, str, str]]
KEY = "a-key-of-this-test"
EVERYTHING = ("--scores", "--text")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECELLM_API_KEY", KEY)
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)


@pytest.fixture(scope="module")
def baseline(tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "tfidf"
    fit_baseline("tfidf", tiny_data, folder)
    return folder


@pytest.fixture(scope="module")
def of_baseline(baseline: Path) -> Iterator[Live]:
    with live(ServedModel(str(baseline)).service(), KEY) as made:
        yield made


@pytest.fixture
def of_xs(xs_folder: Path) -> Iterator[Live]:
    with live(ServedModel(str(xs_folder)).service(), KEY) as made:
        yield made


def reviews(tmp_path: Path, count: int) -> Path:
    source = tmp_path / "reviews.csv"
    source.write_text("text\n" + "".join(f"review {number} {'fine ' * (number % 7)}\n" for number in range(count)))
    return source


def written(folder: Path, name: str) -> dict[str, bytes]:
    """What a run wrote, by file without the output's own name."""
    return {file.name.removeprefix(name): file.read_bytes() for file in folder.glob(f"{name}*")}


@pytest.mark.parametrize("task", TASKS)
def test_the_output_is_that_of_the_model_itself(
    task: str, run: Run, baseline: Path, of_baseline: Live, xs_folder: Path, of_xs: Live, tmp_path: Path
) -> None:
    fitted = task in {one.name for one in of_baseline.service.tasks}
    folder, service = (baseline, of_baseline) if fitted else (xs_folder, of_xs)
    source = tmp_path / "in.jsonl"
    questions = [*TASKS[task].sample_rows] * 9
    rows = [*({"sku": f"00{number}", **row} for number, row in enumerate(questions)), {"sku": "empty"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outputs = []
    for name, model in (("here", str(folder)), ("there", service.url)):
        code, output, err = run(
            "ask", task, model, "--input", source, "--out", tmp_path / f"{name}.jsonl", *EVERYTHING
        )
        assert code == 0, err
        outputs.append((output.replace(name, ""), written(tmp_path, f"{name}.jsonl")))
    assert outputs[0] == outputs[1]
    assert ".rejected.jsonl" in outputs[0][1] and len(outputs[0][1][""].splitlines()) == len(questions)


def test_a_run_begun_here_is_resumed_by_a_service_of_the_same_model_and_by_no_other(
    run: Run, xs_folder: Path, of_xs: Live, of_baseline: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = reviews(tmp_path, 40), tmp_path / "out.csv"
    real, calls = of_xs.service.answer, [0]

    async def seldom(items: Any) -> Any:
        calls[0] += 1
        if calls[0] > 1:
            raise QueueFullError(1)
        return await real(items)

    monkeypatch.setattr(of_xs.service, "answer", seldom)
    ask = ("ask", "SA", of_xs.url, "--input", source, "--out", out, "--concurrency", 1)
    code, _, err = run(*ask, "--retries", 0)
    assert code == 1 and "24 rows got no answer" in err and "the service answered 429" in err and not out.exists()
    code, _, err = run("ask", "SA", of_baseline.url, "--input", source, "--out", out)
    assert code == 1 and "model" in err and not out.exists()
    calls[0] = -100
    code, output, err = run(*ask)
    assert code == 0 and "40 of 40 rows answered (16 before this run)" in output, err
    code, _, err = run("ask", "SA", xs_folder, "--input", source, "--out", tmp_path / "here.csv")
    assert code == 0, err
    here, there = (list(csv.DictReader(file.read_text().splitlines())) for file in (tmp_path / "here.csv", out))
    for row in (*here, *there):
        row["probability"] = pytest.approx(float(row["probability"]), abs=1e-5)
    assert here == there


def test_another_model_in_between_ends_the_run(
    run: Run, of_xs: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = reviews(tmp_path, 40), tmp_path / "out.csv"
    service, real, calls = of_xs.service, of_xs.service.answer, [0]

    async def exchanged(items: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            loaded: Loaded = service.load()
            monkeypatch.setattr(service, "load", lambda: replace(loaded, identity={"model": "another"}))
            await service.reload()
        return await real(items)

    monkeypatch.setattr(service, "answer", exchanged)
    ask = ("ask", "SA", of_xs.url, "--input", source, "--out", out, "--concurrency", 1)
    code, _, err = run(*ask)
    assert code == 1 and "has another model than when this run began" in err.splitlines()[-1]
    assert len((tmp_path / "out.csv.part.jsonl").read_text().splitlines()) == 1 + 16
    code, _, err = run(*ask)
    assert code == 1 and "out.csv.part.jsonl" in err and not out.exists()
    code, output, err = run(*ask[:-4], "--out", tmp_path / "new.csv")
    assert code == 0 and "40 of 40 rows answered" in output, err


def test_rows_that_the_service_calls_invalid_are_rejected_and_errors_are_retried(
    run: Run, of_xs: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in.csv"
    source.write_text(f"text\nfine\n{'x' * 20_001}\nbad\n")
    real, calls = of_xs.service.answer, [0]

    async def broken(items: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            raise RuntimeError("a fault")
        return await real(items)

    monkeypatch.setattr(of_xs.service, "answer", broken)
    code, output, err = run("ask", "SA", of_xs.url, "--input", source, "--out", tmp_path / "out.csv")
    assert code == 0, err
    assert "2 of 3 rows answered" in output and "1 rows rejected" in output and "at most 20000 characters" in output
    assert "Requests retried after an error: 1." in output


def test_one_question_is_asked(run: Run, of_xs: Live) -> None:
    code, output, err = run("ask", "SA", of_xs.url, "--set", "text=The lid leaks.")
    assert code == 0 and "probability 0." in output, err


def test_a_service_without_the_task_a_wrong_key_and_no_service_are_named(
    run: Run, of_xs: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("ask", "SA", of_xs.url, "--input", reviews(tmp_path, 2), "--out", tmp_path / "out.csv")
    monkeypatch.setenv("ECELLM_API_KEY", "wrong")
    code, _, err = run(*ask)
    assert code == 1 and "does not accept the key: set ECELLM_API_KEY" in err and "wrong" not in err
    code, _, err = run("ask", "SA", "http://127.0.0.1:1", *ask[3:])
    assert code == 1 and "http://127.0.0.1:1 does not answer: the connection failed" in err and err.count("\n") == 1
    code, _, err = run("ask", "SA", "http://", *ask[3:])
    assert code == 1 and "address is invalid" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--server", "http://x/v1"), "--server is for models of a server, which are named openai:NAME"),
        (("--price-in", "1"), "--price-in is for models of a server"),
        (("--max-cost", "1"), "--max-cost is for models of a server"),
        (("--template", "alpaca"), "decides itself how it answers: --template"),
        (("--calibration", "file.json"), "decides itself how it answers: --calibration"),
        (("--max-new-tokens", "7"), "decides itself how it answers: --precision, --parse and --max-new-tokens"),
        (("--parse", "lenient"), "decides itself how it answers"),
        (("--precision", "bf16"), "omit --precision"),
    ],
)
def test_options_that_the_service_decides_are_refused(
    options: tuple[str, ...], message: str, run: Run, tmp_path: Path
) -> None:
    ask = ("ask", "SA", "http://127.0.0.1:1", "--input", reviews(tmp_path, 2), "--out", tmp_path / "out.csv")
    code, _, err = run(*ask, *options)
    assert code == 1 and message in err and err.count("\n") == 1


@pytest.mark.parametrize("verb", ["predict", "calibrate"])
def test_a_datasets_questions_are_none_of_a_service(verb: str, run: Run, tmp_path: Path) -> None:
    code, _, err = run(verb, "http://127.0.0.1:1", "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 1 and "is a service, which answers questions that are made from rows" in err
    code, _, err = run("serve", "http://127.0.0.1:1")
    assert code == 1 and "behind a server already" in err
