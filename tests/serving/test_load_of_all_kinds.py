"""A service under load of all kinds: every good request is answered once, no other brings an error or memory that
stays."""

import asyncio
import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from served_process import Running, serving

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]
SECONDS, CLIENTS = 20.0, 32
GOOD = json.dumps({"product_1": "a blue mug", "product_2": {"title": "mug, blue", "price": 5}}).encode()
BAD = [b'{"product_1": NaN}', b"{", b'{"product_1": ""}', b"[" * 10_000, b'{"product_1": "\\ud800"}', b"\xff\xfe"]


def request(body: bytes, length: int | None = None) -> bytes:
    head = "POST /v1/match HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


async def status_of(reader: asyncio.StreamReader) -> int:
    """Read one whole response and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    if lines[0].startswith(b"http/1.1 200"):
        assert json.loads(body)["answer"] in ("yes", "no")
    return int(lines[0].split()[1])


async def client(port: int, number: int, until: float, found: Counter[str]) -> None:
    """Send requests of this client's kind until the time is over."""
    draw = random.Random(number)
    kind = ("good", "good", "bad", "huge", "cut", "slow", "good", "gone")[number % 8]
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            if kind == "huge":
                writer.write(request(b" " * 100_000, length=50_000_000))
            elif kind == "cut":
                writer.write(request(GOOD, length=len(GOOD) + 10))
                await asyncio.sleep(0.02)
                continue
            elif kind == "slow":
                for byte in request(GOOD)[:-5]:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.005)
                continue
            else:
                writer.write(request(draw.choice(BAD) if kind == "bad" else GOOD))
            if kind == "gone":
                await asyncio.sleep(0.02)
                continue
            found[f"{kind} {await status_of(reader)}"] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            found[f"{kind} lost"] += 1
        finally:
            writer.close()
            await asyncio.sleep(0)


async def load(port: int, seconds: float) -> Counter[str]:
    found: Counter[str] = Counter()
    until = time.monotonic() + seconds
    await asyncio.gather(*(client(port, number, until, found) for number in range(CLIENTS)))
    return found


def memory(service: Running) -> int:
    """The process's memory in kB."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def test_load_of_all_kinds_brings_no_error_and_no_memory_that_stays(xs_folder: Path) -> None:
    with serving(xs_folder) as service:
        service.until_ready()
        asyncio.run(load(service.port, SECONDS / 2))
        before = memory(service)
        found = asyncio.run(load(service.port, SECONDS))
        after = memory(service)
        figures = service.ask("GET", "/metrics")[1]
        assert service.ask("GET", "/readyz")[0] == 200
        assert service.ask("POST", "/v1/match", json.loads(GOOD))[0] == 200
    statuses = {name: count for name, count in found.items() if not name.startswith("huge")}
    assert statuses.keys() <= {"good 200", "bad 400", "bad 422"} and found["good 200"] > CLIENTS, found
    # A client that is still sending may lose the answer.
    assert {name for name in found if name.startswith("huge")} <= {"huge 413", "huge lost"}
    assert 'ecellm_errors_total{kind="internal"}' not in figures and "ecellm_queue_questions 0.0" in figures
    assert after < 1.05 * before, (before, after)
