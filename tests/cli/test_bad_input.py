"""Mistakes and accidents of a whole command: one sentence, an exit code, nothing half-written.

Broken raw files and rows are tested beside the readers (tests/sources) and with `ecellm build` (test_build.py).
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shop_rows import write_dataset

Run = Callable[..., tuple[int, str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ecellm.sources.simulator import simulate

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
    said = [line for line in err.splitlines() if line.startswith("ecellm: error: ")]
    assert len(said) == 1 and "Traceback" not in err, err
    return said[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scale", "0"], "scale must lie between"),
        (["--scale", "nan"], "scale must lie between"),
    ],
)
def test_a_shop_of_no_size_is_refused(arguments: list[str], said: str, run: Run, tmp_path: Path) -> None:
    code, _, err = run("simulate", "--out", tmp_path / "shop", *arguments)
    assert code == 1 and said in one_sentence(err) and leftovers(tmp_path) == []


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
        ("baseline", "--data", data, "--out", taken / "mine.txt"),
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
    for call, said in calls:
        code, _, err = run(*call)
        assert code == 1 and said in one_sentence(err), (call, err)
    assert leftovers(tmp_path) == ["data", "empty.jsonl"]


def small_files() -> None:
    """No file may grow past 20 kB: what a full disk does, without filling one."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_full_disk_leaves_no_half_written_shop(command: Command, tmp_path: Path) -> None:
    done = command("simulate", "--out", tmp_path / "shop", "--scale", "0.1", preexec_fn=small_files)
    assert done.returncode == 1
    assert "space" in one_sentence(done.stderr)
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_no_half_written_dataset(command: Command, shop: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path)
    done = command("build", "--sources", shop, "--config", config, "--out", tmp_path / "d", preexec_fn=small_files)
    assert done.returncode == 1
    assert "space" in one_sentence(done.stderr)
    assert leftovers(tmp_path) == ["config.toml"]


def test_a_full_disk_leaves_no_scores(command: Command, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", train=2, held_out=2)
    answers = tmp_path / "answers.jsonl"
    done = command("baseline", "--data", data, "--out", answers, "--tasks", "PM")
    assert done.returncode == 0, done.stderr

    def none() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = command("evaluate", answers, "--data", data, "--out", tmp_path / "scores.json", preexec_fn=none)
    assert done.returncode == 1 and "space" in one_sentence(done.stderr)
    assert leftovers(tmp_path) == ["answers.jsonl", "data"]


def interrupted(arguments: list[object], after: float) -> tuple[int, str]:
    """Start a command, press Ctrl-C after some seconds, and return its exit code and standard error."""
    line = [sys.executable, "-m", "ecellm.cli", *(str(argument) for argument in arguments)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ})
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
    line = [sys.executable, "-m", "ecellm.cli", "tune", "xs", "--data", str(data), "--out", str(out), *sets]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted" in one_sentence(err) and not (out / "ecellm.json").exists()
    done = command(*line[3:], "--resume")
    assert done.returncode == 0, done.stderr
    assert (out / "ecellm.json").exists()
