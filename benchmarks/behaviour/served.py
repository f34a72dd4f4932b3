"""A service that is killed while it answers, and started again at the same address: no answer may differ, and every
question gets one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Timer

from commands import Commands
from contents import Facts

#: Questions, sent one after the other.
QUESTIONS = 150
#: Seconds between two looks at whether a service is ready, and those that it may take.
PAUSE, LONGEST_START = 0.05, 120.0
#: What asking raises where there is no service, or none that is ready.
GONE = (OSError, HTTPException)


@dataclass(frozen=True)
class Served:
    """A model behind `ecellm serve`."""

    model: str

    def facts(self, commands: Commands, folder: Path, deaths: Sequence[float]) -> tuple[Facts, int]:
        """Return the answers by question, and how often the service was killed; `folder` is not used."""
        left, found, kills, port = list(deaths), Facts(), 0, _free_port()
        while len(found) < QUESTIONS:
            # Where the service is gone, the question is sent to the next one.
            with self._service(commands, port, left.pop(0) if left else None) as process, suppress(*GONE):
                _wait_until_ready(process, port)
                for number in range(len(found), QUESTIONS):
                    found[f"question {number}"] = _answer(port, number)
            kills += process.returncode == -signal.SIGKILL
            if process.returncode not in (0, -signal.SIGKILL):
                raise RuntimeError(f"ecellm serve ended with exit code {process.returncode} after it was killed")
        return found, kills

    @contextmanager
    def _service(self, commands: Commands, port: int, death: float | None) -> Iterator[subprocess.Popen[bytes]]:
        """Start the service, killed after so many seconds unless it is None; in the end it gets SIGTERM."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ecellm", "serve", self.model, "--port", str(port)],
            cwd=commands.folder,
            env={**commands.environment, "ECELLM_API_KEY": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        timer = None if death is None else Timer(death, os.killpg, (process.pid, signal.SIGKILL))
        if timer is not None:
            timer.start()
        try:
            yield process
        finally:
            if timer is not None:
                timer.cancel()
            process.terminate()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Raise ConnectionError where the process ends first, or takes too long."""
    latest = time.monotonic() + LONGEST_START
    while process.poll() is None and time.monotonic() < latest:
        with suppress(*GONE), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return
        time.sleep(PAUSE)
    raise ConnectionError("the service is not ready")


def _answer(port: int, number: int) -> str:
    """Return the answer to a question as JSON."""
    body = {"product_1": {"title": f"Steel mug {number} oz"}, "product_2": {"title": f"{number % 7} oz mug, steel"}}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/match", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(response.read().decode())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
