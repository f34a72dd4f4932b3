"""`ecellm serve`: what it refuses to start with, and the process: its socket, its signals and its log."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecellm.errors import ConfigError
from ecellm.serving.keys import Keys
from ecellm.serving.server import check_exposed, is_loopback, listen
from repository import REPOSITORY
from served_process import serving

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
Run = Callable[..., tuple[int, str, str]]
KEY = "a-key-of-this-test"


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_only_this_machine_reaches(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside
    check_exposed(host, Keys(["key"]), insecure=False)
    check_exposed(host, Keys(), insecure=True)
    with pytest.raises(ConfigError, match="leave --insecure out"):
        check_exposed(host, Keys(["key"]), insecure=True)
    if inside:
        check_exposed(host, Keys(), insecure=False)
    else:
        with pytest.raises(ConfigError, match="ECELLM_API_KEY"):
            check_exposed(host, Keys(), insecure=False)


def test_an_open_address_without_a_key_is_refused_before_anything_is_loaded(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECELLM_API_KEY", raising=False)
    code, _, err = run("serve", "nothing-here", "--host", "0.0.0.0")
    assert code == 1 and "set ECELLM_API_KEY" in err and "--insecure" in err


def test_what_cannot_be_served_is_said_in_one_line(run: Run, tmp_path: Path) -> None:
    code, _, err = run("serve", tmp_path / "none")
    assert code == 1 and "There is no model" in err
    code, _, err = run("serve", "openai:gpt")
    assert code == 1 and "behind a server already" in err


def test_without_the_extra_one_sentence_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = run("serve", "model")
    assert code == 1 and err.count("\n") == 1 and "pip install 'ecellm[serve]'" in err


def test_a_port_in_use_is_said_in_one_line(run: Run, xs_folder: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        code, _, err = run("serve", xs_folder, "--port", port)
    assert code == 1 and f"127.0.0.1, port {port} (address already in use)" in err


def test_responses_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.slow
def test_a_process_answers_reloads_and_finishes_what_is_under_way_at_sigterm(xs_folder: Path) -> None:
    with serving(xs_folder, key=KEY) as service:
        service.until_ready()
        assert service.ask("POST", "/v1/sentiment", {"text": "fine"})[0] == 401
        status, answer = service.ask("POST", "/v1/sentiment", {"text": "fine"}, KEY)
        assert status == 200 and sum(answer["probabilities"].values()) == pytest.approx(1)
        # Odd requests as bytes.
        flood = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(
            b"a%d: %s\r\n" % (n, b"y" * 900) for n in range(90)
        )
        assert service.raw(flood + b"\r\n").startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
        assert service.raw(b"\x16\x03\x01 not http\r\n\r\n").startswith(b"HTTP/1.1 400")
        assert service.raw(b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 401")
        service.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while "reloaded" not in service.events() and time.monotonic() < until:
            assert service.ask("POST", "/v1/sentiment", {"text": "fine"}, KEY)[0] == 200
        assert "reloaded" in service.events()
        # Under load: what was accepted is answered, the rest is refused or cannot connect.
        found: list[int | str] = []

        def load() -> None:
            while True:
                try:
                    status, _ = service.ask("POST", "/v1/sentiment", {"text": "fine " * 50}, KEY)
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException) as error:
                    found.append(type(error).__name__)
                    return
                found.append(status)
                if status == 503:
                    return

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        service.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert service.process.wait(60) == 0
    assert found.count(200) > 8 and set(found) <= {200, 503}
    assert service.events()[-1] == "stopped" and "draining" in service.events()
    assert KEY not in "".join(service.lines) and "fine" not in "".join(service.lines)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_the_process_with_one_line(xs_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in xs_folder.iterdir():
        if file.suffix != ".safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    with serving(broken) as service:
        assert service.process.wait(120) == 1
    assert service.lines[-1].startswith("ecellm: error: ") and "safetensors" in service.lines[-1]


@pytest.mark.slow
def test_the_benchmark_says_its_ratios(xs_folder: Path) -> None:
    given = ["--model", str(xs_folder), "--requests", "24", "--rounds", "1", "--clients", "4"]
    line = [sys.executable, str(REPOSITORY / "benchmarks" / "serving.py"), *given]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for task in ("PM", "SR"):
        assert f"\n{task}, 4 clients, median ratios: to predict " in done.stdout
