"""`ecellm serve` as a process of its own, at a free port of this machine."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Running:
    """A service's process."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read().decode()
            return reply.status, json.loads(text) if "json" in reply.headers["content-type"] else text
        finally:
            connection.close()

    def until_ready(self) -> None:
        until = time.monotonic() + 120
        while self.ask("GET", "/readyz")[0] != 200:
            assert self.process.poll() is None and time.monotonic() < until
            time.sleep(0.05)

    def raw(self, sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as one:
            one.sendall(sent)
            return one.recv(65_536)

    def records(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def events(self) -> list[str]:
        return [record["event"] for record in self.records()]


@contextmanager
def serving(model: Path, *options: str, key: str | None = None) -> Iterator[Running]:
    """A process that serves a model at a free port."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("ECELLM_API_KEY", None)
    environment |= {} if key is None else {"ECELLM_API_KEY": key}
    line = [sys.executable, "-m", "ecellm", "serve", str(model), "--port", "0", *options]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None and process.stderr is not None
    errors = process.stderr
    first = process.stdout.readline()
    assert "127.0.0.1:" in first, errors.read()
    made = Running(process, int(first.partition("127.0.0.1:")[2].partition(";")[0]))
    reading = threading.Thread(target=lambda: made.lines.extend(errors), daemon=True)
    reading.start()
    try:
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        reading.join(30)
        process.stdout.close()
        errors.close()
