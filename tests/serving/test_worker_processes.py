"""`ecellm serve --workers 2` as processes: a worker killed under load, figures, reloads, SIGTERM, no orphans."""

import http.client
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from served_process import Running, serving

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]
KEY = "a-key-of-this-test"
TWO = ("--workers", "2")


def workers(service: Running) -> list[int]:
    """The process ids of the workers that were started, in order."""
    return [line["pid"] for line in service.records() if line["event"] == "worker started"]


def ready(service: Running, count: int) -> None:
    """Wait until so many workers have been ready."""
    ends = time.monotonic() + 120
    while service.events().count("ready") < count:
        assert service.process.poll() is None and time.monotonic() < ends
        time.sleep(0.05)


def figure(service: Running, name: str) -> float:
    status, text = service.ask("GET", "/metrics", key=KEY)
    assert status == 200
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)} ([\d.e+]+)$", text, re.MULTILINE))


@contextmanager
def loading(service: Running, clients: int, until: Callable[[int | str], bool]) -> Iterator[Counter[int | str]]:
    """Load from so many clients, each of which ends once `until` holds of what it got."""
    found: Counter[int | str] = Counter()

    def load() -> None:
        while True:
            try:
                got: int | str = service.ask("POST", "/v1/sentiment", {"text": "fine " * 40}, KEY)[0]
            except (OSError, http.client.HTTPException) as error:
                got = type(error).__name__
            found[got] += 1
            if until(got):
                return

    threads = [threading.Thread(target=load, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    yield found
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def wait_for_answers(found: Counter[int | str], count: int) -> None:
    """Wait until clients have got so many answers."""
    ends = time.monotonic() + 120
    while found[200] < count:
        assert time.monotonic() < ends, found
        time.sleep(0.02)


def test_a_worker_killed_under_load_fails_only_what_was_under_way_in_it(xs_folder: Path) -> None:
    stop = threading.Event()
    with serving(xs_folder, *TWO, key=KEY) as service:
        ready(service, 2)
        first, second = workers(service)
        with loading(service, 8, lambda got: stop.is_set()) as found:
            wait_for_answers(found, 200)
            by_worker = Counter(line["worker"] for line in service.records() if line["event"] == "request")
            os.kill(first, signal.SIGKILL)
            wait_for_answers(found, 300)
            ready(service, 3)
            wait_for_answers(found, found[200] + 100)
            stop.set()
        assert min(by_worker[0], by_worker[1]) > 0.1 * by_worker.total()
        # Each client had one request under way, so at most each fails once, by a connection that closes
        # before its response, or within it.
        failed = {name: count for name, count in found.items() if name != 200}
        assert set(failed) <= {"RemoteDisconnected", "ConnectionResetError", "IncompleteRead"}
        assert sum(failed.values()) <= 8
        assert len(workers(service)) == 3 and second in workers(service)
        # Counters keep what the dead worker counted, gauges forget it.
        assert figure(service, 'ecellm_questions_total{task="SA"}') >= found[200]
        assert figure(service, "ecellm_ready") == 2 and figure(service, "ecellm_queue_questions") == 0


def test_sigterm_under_load_answers_what_was_accepted(xs_folder: Path) -> None:
    with serving(xs_folder, *TWO, key=KEY) as service:
        ready(service, 2)
        over = (503, "ConnectionRefusedError")
        with loading(service, 8, lambda got: got in over or isinstance(got, str)) as found:
            wait_for_answers(found, 100)
            service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
        assert set(found) <= {200, *over}
    assert service.events().count("stopped") == 2
    answered = sum(line.get("status") == 200 for line in service.records() if line["event"] == "request")
    assert answered == found[200]


def test_sigterm_ends_workers_that_still_load_their_model(xs_folder: Path) -> None:
    with serving(xs_folder, *TWO, key=KEY) as service:
        ends = time.monotonic() + 60
        while len(workers(service)) < 2:
            assert time.monotonic() < ends
            time.sleep(0.02)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
    assert "ready" not in service.events() and "internal error" not in service.events()


def test_reloads_reach_every_worker_and_drop_nothing(xs_folder: Path) -> None:
    stop = threading.Event()
    with serving(xs_folder, *TWO, key=KEY) as service:
        ready(service, 2)
        assert service.ask("POST", "/admin/reload")[0] == 401
        with loading(service, 4, lambda got: stop.is_set()) as found:
            assert service.ask("POST", "/admin/reload", key=KEY)[0] == 200
            assert figure(service, 'ecellm_reloads_total{result="done"}') == 2
            service.process.send_signal(signal.SIGHUP)
            ends = time.monotonic() + 60
            while service.events().count("reloaded") < 4 and time.monotonic() < ends:
                time.sleep(0.05)
            stop.set()
        assert set(found) == {200}
        reloaded = [line["worker"] for line in service.records() if line["event"] == "reloaded"]
        assert sorted(reloaded) == [0, 0, 1, 1]
        (xs_folder / "ecellm.json").rename(xs_folder / "away.json")
        try:
            status, problem = service.ask("POST", "/admin/reload", key=KEY)
        finally:
            (xs_folder / "away.json").rename(xs_folder / "ecellm.json")
        assert status == 500 and "the old one stays" in problem["detail"]
        assert service.ask("POST", "/v1/sentiment", {"text": "fine"}, KEY)[0] == 200


def test_workers_end_when_their_supervisor_is_killed(xs_folder: Path) -> None:
    with serving(xs_folder, *TWO, "--grace", "1") as service:
        ready(service, 2)
        pids = workers(service)
        service.process.kill()
        service.process.wait(30)
        ends = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            assert time.monotonic() < ends
            time.sleep(0.05)


def test_a_model_that_cannot_be_loaded_ends_all_with_the_message_of_one_process(
    xs_folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in xs_folder.iterdir():
        if file.suffix != ".safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    said = []
    for options in ((), TWO):
        with serving(broken, *options) as service:
            assert service.process.wait(120) == 1
        said.append(service.lines[-1])
    assert said[0] == said[1] and "safetensors" in said[0]
