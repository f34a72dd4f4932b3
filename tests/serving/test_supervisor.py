"""The supervisor of worker processes: deaths, errors at the start, reloads, signals, and its own death."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ecellm.serving.workers import threads_each
from repository import REPOSITORY


@dataclass
class Supervised:
    process: subprocess.Popen[str]
    folder: Path
    known: set[int] = field(default_factory=set)

    def pid(self, number: int) -> int:
        """The process id of a worker that is ready."""
        until(lambda: (self.folder / f"{number}.pid").is_file() and (self.folder / f"{number}.pid").read_text() != "")
        found = int((self.folder / f"{number}.pid").read_text())
        self.known.add(found)
        return found

    def log(self) -> list[str]:
        file = self.folder / "log"
        return file.read_text().splitlines() if file.exists() else []


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@contextmanager
def supervised(kind: str, folder: Path) -> Iterator[Supervised]:
    line = [sys.executable, str(REPOSITORY / "tests" / "supervised.py"), kind, str(folder)]
    made = Supervised(subprocess.Popen(line, stderr=subprocess.PIPE, text=True), folder)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()
        for pid in made.known:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_worker_that_is_killed_is_replaced_and_sigterm_ends_all(tmp_path: Path) -> None:
    with supervised("good", tmp_path) as made:
        first, other = made.pid(0), made.pid(1)
        os.kill(first, signal.SIGKILL)
        until(lambda: made.pid(0) != first)
        assert made.pid(1) == other and lives(other) and not lives(first)
        made.process.send_signal(signal.SIGTERM)
        _, err = made.process.communicate(timeout=30)
        assert made.process.returncode == 0
        assert err.count('"worker started"') == 3 and "SIGKILL, as where memory runs out" in err
        assert not any(map(lives, made.known))


def test_a_users_mistake_is_the_message_of_one_worker(tmp_path: Path) -> None:
    with supervised("fails", tmp_path) as made:
        _, err = made.process.communicate(timeout=30)
    assert made.process.returncode == 1 and err.splitlines()[-1] == "ecellm: error: There is no such model."


def test_workers_that_die_again_and_again_end_the_service_in_one_sentence(tmp_path: Path) -> None:
    with supervised("dies", tmp_path) as made:
        _, err = made.process.communicate(timeout=60)
    assert made.process.returncode == 1
    assert err.splitlines()[-1].startswith("ecellm: error: No worker could go on: each died 5 times")
    assert "exit code 3" in err.splitlines()[-1] and 10 <= err.count('"worker started"') < 40


def test_one_that_cannot_start_again_leaves_the_other_in_peace(tmp_path: Path) -> None:
    with supervised("dies-later", tmp_path) as made:
        first, other = made.pid(0), made.pid(1)
        (tmp_path / "broken").touch()
        os.kill(first, signal.SIGKILL)
        time.sleep(2)
        assert made.process.poll() is None and lives(other)
        (tmp_path / "broken").unlink()
        until(lambda: made.pid(0) != first)


def test_workers_reload_one_after_the_other(tmp_path: Path) -> None:
    with supervised("reloads", tmp_path) as made:
        until(lambda: len(made.log()) == 5)
        assert made.log() == ["0 Reload()", "0 done", "1 Reload()", "1 done", "0 ReloadAll(number=7, failure=None)"]
        made.pid(0), made.pid(1)
        made.process.send_signal(signal.SIGHUP)
        until(lambda: len(made.log()) == 9)
        assert made.log()[5:] == made.log()[:4]


def test_a_reload_that_fails_says_which_model_the_workers_have(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with supervised("reloads", tmp_path) as made:
        until(lambda: len(made.log()) == 5)
        assert "It is broken. (1 of 2 workers have the new model already" in made.log()[-1]
        made.pid(0), made.pid(1)


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    with supervised("good", tmp_path) as made:
        pids = [made.pid(0), made.pid(1)]
        made.process.kill()
        until(lambda: not any(map(lives, pids)), 10)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_that_does_not_end_is_killed(signals: int, tmp_path: Path) -> None:
    with supervised("hangs", tmp_path) as made:
        pids = [made.pid(0), made.pid(1)]
        for _ in range(signals):
            made.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        made.process.communicate(timeout=30)
        assert made.process.returncode == (0 if signals == 1 else -signal.SIGTERM)
        until(lambda: not any(map(lives, pids)), 10)


def test_workers_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert threads_each(1) == cores and threads_each(cores) == 1 and threads_each(1000) == 1
