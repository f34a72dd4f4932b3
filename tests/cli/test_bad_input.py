"""Mistakes and accidents of a whole command: one sentence, an exit code, nothing half-written.

Every kind of broken raw file and row is tested beside the readers (tests/data/readers); a few here, by the command.
"""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import gettempdir

import pytest

from ecellm.data.dataset import read_dataset
from shop_rows import write_dataset

Run = Callable[..., tuple[int, str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
Limit = Callable[[int], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ecellm.data.simulator import simulate

    out = tmp_path_factory.mktemp("shop") / "sources"
    simulate(out, scale=0.2, seed=1)
    return out


def config_of(folder: Path, tasks: str = "[tasks.PM]\ntrain = 50\nvalidation = 10\ntest = 10\n") -> Path:
    path = folder / "config.toml"
    path.write_text(f'[sources]\namazon_google = "amazon_google"\n{tasks}')
    return path


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def one_sentence(err: str) -> str:
    messages = [line for line in err.splitlines() if line.startswith(("ecellm: error: ", "ecellm: interrupted; "))]
    assert len(messages) == 1 and "Traceback" not in err, err
    return messages[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "0"], "scale must lie between"),
        (["--scale", "nan"], "scale must lie between"),
    ],
)
def test_a_shop_of_no_size_is_refused(arguments: list[str], message: str, run: Run, tmp_path: Path) -> None:
    code, _, err = run("simulate", "--out", tmp_path / "shop", *arguments)
    assert code == 1 and message in one_sentence(err) and leftovers(tmp_path) == []


def test_no_verb_writes_over_what_exists(run: Run, shop: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("keep")
    data = write_dataset(tmp_path / "data", train=2, held_out=2)
    calls = [
        ("simulate", "--out", taken, "--scale", "0.05"),
        ("build", "--sources", shop, "--config", config_of(tmp_path), "--out", taken),
        ("tune", "xs", "--data", data, "--out", taken),
        ("demo", "--out", taken),
        ("baseline", "tfidf", "--data", data, "--out", taken / "mine.txt"),
        ("evaluate", taken / "mine.txt", "--data", data, "--out", taken / "mine.txt"),
    ]
    for call in calls:
        code, _, err = run(*call)
        assert code == 1 and "taken" in one_sentence(err), call
    assert leftovers(taken) == ["mine.txt"] and (taken / "mine.txt").read_text() == "keep"


def test_what_is_no_dataset_model_or_predictions_file_is_named(run: Run, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", train=2, held_out=2)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    calls = [
        (("tune", "xs", "--data", tmp_path / "none", "--out", tmp_path / "m"), "is not a dataset"),
        (("tune", "xs", "--data", data, "--out", tmp_path / "m", "--tasks", "XX"), "Unknown task 'XX'"),
        (("tune", "xs", "--data", data, "--out", tmp_path / "m", "--setting", "IND"), "Unknown setting"),
        (("tune", "xs", "--data", data, "--out", tmp_path / "m", "--set", "epochs=1"), "unknown key"),
        (("predict", tmp_path, "--data", data, "--out", tmp_path / "p"), "is not a finished model"),
        (("evaluate", empty, "--data", data, "--out", tmp_path / "s"), "empty.jsonl"),
        (("evaluate", tmp_path / "gone", "--data", data, "--out", tmp_path / "s"), "gone"),
    ]
    for call, message in calls:
        code, _, err = run(*call)
        assert code == 1 and message in one_sentence(err), (call, err)
    assert leftovers(tmp_path) == ["data", "empty.jsonl"]


@pytest.mark.parametrize("name", ["manifest.json", "p.jsonl", "p.jsonl.meta.json", "scores.json", "labels.json"])
def test_json_that_is_nested_too_deeply_is_a_mistake_in_the_file(name: str, run: Run, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", train=2, held_out=2)
    file = (data if name == "manifest.json" else tmp_path) / name
    if name == "p.jsonl.meta.json":
        (tmp_path / "p.jsonl").write_text(answers_to(data, tmp_path).read_text())
    file.write_text("[" * 100_000 + "]" * 100_000 + "\n")
    (tmp_path / "rows.jsonl").write_text('{"task": "PM", "input": "x", "output": "yes"}\n')
    calls = {
        "manifest.json": ("check", data),
        "p.jsonl": ("evaluate", file, "--data", data, "--out", tmp_path / "s.json"),
        "p.jsonl.meta.json": ("join", tmp_path / "p.jsonl", "--out", tmp_path / "q.jsonl"),
        "scores.json": ("compare", file, file),
        "labels.json": ("import", tmp_path / "rows.jsonl", "--out", tmp_path / "d", "--qpr-labels", file),
    }
    code, _, err = run(*calls[name])
    assert code == 1 and name.removesuffix(".meta.json") in one_sentence(err), err


def answers_to(data: Path, folder: Path) -> Path:
    """Answers that may be evaluated: always yes."""
    lines = [
        {"id": example.id, "task": "PM", "setting": "IND_Diverse_Instruction", "text": "yes"}
        for example in read_dataset(data).examples("test", "IND", ["PM"])
    ]
    file = folder / "answers.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.mark.parametrize("verb", ["simulate", "build", "evaluate", "baseline"])
def test_a_full_disk_leaves_nothing_half_written(
    verb: str, run: Run, file_limit: Limit, shop: Path, tmp_path: Path
) -> None:
    data = write_dataset(tmp_path / "data", train=2, held_out=2)
    answers = answers_to(data, tmp_path)
    out, config = tmp_path / "out", config_of(tmp_path)
    call, size = {
        "simulate": (("simulate", "--out", out, "--scale", "0.1"), 20_000),
        "build": (("build", "--sources", shop, "--config", config, "--out", out), 5_000),
        "evaluate": (("evaluate", answers, "--data", data, "--out", out), 100),
        "baseline": (("baseline", "tfidf", "--data", data, "--out", out), 100),
    }[verb]
    with file_limit(size):
        code, _, err = run(*call)
    # A build converts tables below the system's folder for temporary files first.
    full = gettempdir() if verb == "build" else out
    assert code == 1 and f"no space left to write {full}: " in one_sentence(err)
    assert leftovers(tmp_path) == ["answers.jsonl", "config.toml", "data"]


@pytest.mark.slow
def test_a_full_disk_while_tuning_and_asking_loses_nothing(
    run: Run, file_limit: Limit, tiny_base: Path, tmp_path: Path
) -> None:
    data, model, answers = tmp_path / "data", tmp_path / "model", tmp_path / "answers.jsonl"
    write_dataset(data)
    changes = [f"base={tiny_base}", "max_tokens=200", "optimisation.epochs=1", "optimisation.batch_tokens=1024"]
    sets = [part for change in [*changes, "validation.fit_thresholds=false"] for part in ("--set", change)]
    tune = ("tune", "xs", "--data", data, "--out", model, *sets)
    with file_limit(1_000_000):
        code, _, err = run(*tune)
    assert code == 1 and f"no space left to write {model}: " in one_sentence(err)
    assert not (model / "ecellm.json").exists()
    assert run(*tune, "--resume")[0] == 0

    predict = ("predict", model, "--data", data, "--out", answers, "--tasks", "PM,SA")
    with file_limit(1_500):
        code, _, err = run(*predict)
    assert code == 1 and f"no space left to write {answers}: " in one_sentence(err)
    assert not answers.exists() or answers.read_text()[-1:] in ("", "\n")
    assert run(*predict)[0] == 0
    assert run("evaluate", answers, "--data", data, "--out", tmp_path / "scores.json")[0] == 0


@pytest.mark.parametrize("verb", ["simulate", "build", "evaluate"])
def test_ctrl_c_at_the_last_moment_leaves_nothing(
    verb: str, run: Run, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment when all is written and only the name is missing."""
    data = write_dataset(tmp_path / "data", train=2, held_out=2)
    answers = answers_to(data, tmp_path)
    out, config = tmp_path / "out", config_of(tmp_path)
    call = {
        "simulate": ("simulate", "--out", out, "--scale", "0.05"),
        "build": ("build", "--sources", shop, "--config", config, "--out", out),
        "evaluate": ("evaluate", answers, "--data", data, "--out", out),
    }[verb]

    within = Path.replace

    def press(path: Path, target: Path) -> Path:
        assert path.exists()
        if target.parent != tmp_path:
            return within(path, target)  # a file of a folder that is still being written
        assert target == out
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", press)
    monkeypatch.setattr(Path, "rename", press)
    code, _, err = run(*call)
    assert code == 130 and "interrupted" in one_sentence(err)
    assert leftovers(tmp_path) == ["answers.jsonl", "config.toml", "data"]


REVIEWS = "amazon_review_2018/review/all_category/Electronics.json.gz"
SA = """[sources]
amazon_reviews = "amazon_review_2018"
[tasks.SA]
train = 50
validation = 10
test = 10
out_of_domain_test = 0
in_domain = ["Electronics"]
"""


@pytest.fixture
def reviews(shop: Path, tmp_path: Path) -> Path:
    """A copy of the shop's reviews of one category, to spoil, with a config that reads it."""
    copy = tmp_path / "raw" / REVIEWS
    copy.parent.mkdir(parents=True)
    copy.write_bytes((shop / REVIEWS).read_bytes())
    (tmp_path / "config.toml").write_text(SA)
    return copy


def spoiled_byte(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(spoiled_byte, id="corrupt"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(gzip.decompress, id="not gzip"),
    ],
)
def test_a_damaged_source_file_is_named_and_nothing_written(
    spoil: Callable[[bytes], bytes], reviews: Path, run: Run, tmp_path: Path
) -> None:
    reviews.write_bytes(spoil(reviews.read_bytes()))
    arguments = ("--sources", tmp_path / "raw", "--config", tmp_path / "config.toml", "--out", tmp_path / "data")
    code, _, err = run("build", *arguments)
    assert code == 1 and reviews.name in one_sentence(err)
    assert leftovers(tmp_path) == ["config.toml", "raw"]


def test_bad_lines_of_a_source_file_are_counted_and_set_aside(reviews: Path, run: Run, tmp_path: Path) -> None:
    arguments = ("--sources", tmp_path / "raw", "--config", tmp_path / "config.toml", "--out")

    def rejects(name: str) -> list[str]:
        code, _, err = run("build", *arguments, tmp_path / name)
        assert code == 0, err
        counted = json.loads((tmp_path / name / "manifest.json").read_text())["rejected"].get(REVIEWS, {})
        kept = tmp_path / name / "rejects.jsonl"
        lines = kept.read_text().splitlines() if kept.exists() else []
        assert len(lines) == sum(counted.values())
        return [json.loads(line)["excerpt"] for line in lines]

    before = rejects("before")
    bad = [b'{"overall": 5.0, "reviewText"', b'{"overall": 5.0, "reviewText": "caf\xe9 is Latin-1 here"}']
    lines = gzip.decompress(reviews.read_bytes()).splitlines()
    reviews.write_bytes(gzip.compress(b"\n".join([lines[0], *bad, *lines[1:]]) + b"\n"))
    after = rejects("after")
    assert len(after) == len(before) + 2
    assert any('"reviewText"' in line for line in after) and any("Latin-1" in line for line in after)


@contextmanager
def started(arguments: list[object]) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, which does not outlive the test, however that ends."""
    line = [sys.executable, "-m", "ecellm", *(str(argument) for argument in arguments)]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(arguments: list[object], after: float) -> tuple[int, str]:
    """Start a command, press Ctrl-C after some seconds, and return its exit code and standard error."""
    with started(arguments) as process:
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.slow
@pytest.mark.parametrize("after", [1.5, 3.0, 5.0])
def test_ctrl_c_leaves_no_half_written_shop_or_dataset(after: float, shop: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path)
    calls: list[list[object]] = [
        ["simulate", "--out", tmp_path / "shop", "--scale", "20"],
        ["build", "--sources", shop, "--config", config, "--out", tmp_path / "data"],
    ]
    for call in calls:
        code, err = interrupted(call, after)
        done = [name for name in leftovers(tmp_path) if name != "config.toml"]
        if code == 0:  # it was quicker than we were
            assert done
            continue
        assert code == 130 and "interrupted" in one_sentence(err)
        assert [name for name in done if name.startswith(".") or name == "shop"] == []


@pytest.mark.slow
def test_ctrl_c_while_tuning_can_be_resumed(tmp_path: Path, tiny_base: Path, command: Command) -> None:
    data = write_dataset(tmp_path / "data")
    out = tmp_path / "model"
    changes = [f"base={tiny_base}", "max_tokens=200", "optimisation.epochs=80", "optimisation.batch_tokens=1024"]
    sets = [part for change in [*changes, "validation.per_epoch=3"] for part in ("--set", change)]
    tune: list[object] = ["tune", "xs", "--data", data, "--out", out, *sets]
    with started(tune) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted" in one_sentence(err) and not (out / "ecellm.json").exists()
    done = command(*tune, "--resume")
    assert done.returncode == 0, done.stderr
    assert (out / "ecellm.json").exists()
