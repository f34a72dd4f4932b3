"""How much of a model's speed is left behind HTTP: requests a second and latencies of `ecellm serve`, on loopback,
against `predict` on the same rows, and against a plain FastAPI endpoint that asks the model once a request.

    python benchmarks/serving.py [--model MODEL] [--requests 256] [--rounds 3] [--clients 1,16,64]

PM and SR by XS: a MODEL folder, or one of MiniLM's size with weights drawn at random, which computes as much. Each
client has one connection and sends its next request once it has its answer. Service, plain endpoint and clients are
processes of their own, on the same cores. All are warmed up, and taken in turn within a round; ratios are of each
round, and their median is printed.

Expected before measuring: at 64 clients at least 80 % of predict's throughput, as HTTP and JSON take a millisecond or
two a request beside some ten of the model's; at least 4 times the plain endpoint's where batches gain as much, which
they do on an accelerator and less on a CPU; p99 at 16 clients within 5 times the time of a batch.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

TASKS = {"PM": "/v1/match", "SR": "/v1/recommend"}
SETTING = "IND_Single_Instruction"
WARM = 32
WORDS = "steel mug blue lamp usb cable home red soft paper case large pack set black wood kit box light pro"

Row = dict[str, Any]


def bodies(task: str, count: int) -> list[Row]:
    """Questions of like lengths as ECInstruct's, of ordinary words."""
    draw = random.Random(task)
    known = re.findall(r"\w+", WORDS)

    def words(low: int, high: int) -> str:
        return " ".join(draw.choices(known, k=draw.randint(low, high)))

    def record() -> Row:
        return {"title": words(3, 12), "description": words(3, 45), "brand": words(1, 2), "price": "9.99"}

    def options() -> list[str]:
        return [f"{words(4, 15)} {place}" for place in range(20)]

    if task == "PM":
        return [{"product_1": record(), "product_2": record()} for _ in range(count)]
    return [{"history": [words(5, 15) for _ in range(8)], "options": options()} for _ in range(count)]


# Load: raw HTTP/1.1, so that the clients take little of the processor.


async def load(port: int, path: str, questions: Sequence[Row], clients: int) -> tuple[float, list[float]]:
    """Send all requests from so many clients; returns requests a second, and each one's seconds."""
    waiting = [json.dumps(body).encode() for body in questions]
    seconds: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            body = waiting.pop()
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            began = time.perf_counter()
            writer.write(head.encode() + b"\r\n\r\n" + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert answer.startswith(b"http/1.1 200"), answer
            (length,) = (line for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            seconds.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(questions) / (time.perf_counter() - began), seconds


def loaded(port: int, path: str, task: str, requests: int, clients: int) -> tuple[float, float, float]:
    """Load a server from a process of its own; returns requests a second, p50 and p99 in milliseconds."""
    line = [sys.executable, __file__, "load", str(port), path, task, str(requests), str(clients)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    rate, p50, p99 = map(float, done.stdout.split())
    return rate, p50, p99


def report_load(port: str, path: str, task: str, requests: str, clients: str) -> None:
    rate, seconds = asyncio.run(load(int(port), path, bodies(task, int(requests)), int(clients)))
    cuts = quantiles(seconds, n=100, method="inclusive")
    print(rate, 1000 * cuts[49], 1000 * cuts[98])


# What is loaded.


def serve_plain(model: str, port: str) -> None:
    """The usual way: an endpoint that calls the model for each request."""
    import uvicorn
    from fastapi import FastAPI, Request

    import ecellm

    app, loaded = FastAPI(), ecellm.load_model(model)

    @app.post("/{task}")
    async def ask(task: str, request: Request) -> dict[str, Any]:
        answer = loaded.ask(task, [await request.json()])[0]
        return {"answer": answer.answer, "probability": answer.probability, "probabilities": answer.probabilities}

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False, http="h11")


def report_predict(model: str, requests: str, rounds: str) -> None:
    """Print, once for each line on standard input, how many questions a second `predict` answers."""
    from ecellm.inference.predict import predict
    from ecellm.inference.row_questions import row_question
    from ecellm.models.load import load_generator
    from ecellm.tasks import TASKS as KNOWN

    generator = load_generator(model)
    questions = {
        task: [row_question(KNOWN[task], row, str(n)).question for n, row in enumerate(bodies(task, int(requests)))]
        for task in TASKS
    }
    for task in TASKS:  # warm
        generator.prompts(questions[task][:WARM])
    for line in sys.stdin:
        task = line.strip()
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            counts = predict(generator, {SETTING: questions[task]}, Path(folder) / "out.jsonl", {"model": model})
            print(counts.answered / (time.perf_counter() - began), flush=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def process(*line: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if name != "ECELLM_API_KEY"}
    made = subprocess.Popen([sys.executable, *line], text=True, env=environment, **options)
    try:
        yield made
    finally:
        made.send_signal(signal.SIGTERM)
        made.wait()


def until_warm(port: int, paths: dict[str, str]) -> None:
    """Wait until a server answers, then warm it up."""
    until = time.monotonic() + 300
    while True:
        try:
            for task, path in paths.items():
                asyncio.run(load(port, path, bodies(task, WARM), 8))
            return
        except (OSError, AssertionError, asyncio.IncompleteReadError):
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.5)


def batch_seconds(port: int) -> tuple[float, float]:
    """Return the seconds of all batches so far, and their number."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("ecellm_batch_seconds_"))
    return float(found["ecellm_batch_seconds_sum"]), float(found["ecellm_batch_seconds_count"])


def measure(given: argparse.Namespace, model: str) -> None:
    ours, plain = free_port(), free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        process("-m", "ecellm", "serve", model, "--port", str(ours), **quiet),
        process(__file__, "plain", model, str(plain), **quiet),
        process(__file__, "predict", model, str(given.requests), str(given.rounds), **pipes) as predicting,
    ):
        plainly = {task: f"/{task}" for task in TASKS}
        until_warm(ours, TASKS)
        until_warm(plain, plainly)

        def predicted(task: str) -> float:
            assert predicting.stdin is not None and predicting.stdout is not None
            predicting.stdin.write(task + "\n")
            predicting.stdin.flush()
            return float(predicting.stdout.readline())

        for task in TASKS:
            predicted(task)  # warm
            compare(task, given, (ours, plain), plainly[task], predicted)


def compare(
    task: str,
    given: argparse.Namespace,
    ports: tuple[int, int],
    plain_path: str,
    predicted: Callable[[str], float],
) -> None:
    """Measure one task, round by round, and say the medians."""
    ours, plain = ports
    for clients in given.clients:
        to_predict, to_plain, tails = [], [], []
        for _ in range(given.rounds):
            alone = predicted(task)
            before = batch_seconds(ours)
            rate, p50, p99 = loaded(ours, TASKS[task], task, given.requests, clients)
            spent, count = (after - start for after, start in zip(batch_seconds(ours), before, strict=True))
            other, other50, other99 = loaded(plain, plain_path, task, given.requests, clients)
            to_predict.append(rate / alone)
            to_plain.append(rate / other)
            tails.append(p99 / (1000 * spent / count))
            print(
                f"{task}, {clients} clients: {rate:,.1f} requests/s, p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, "
                f"{given.requests / count:.1f} a batch; plain {other:,.1f}, p50 {other50:,.0f} ms, "
                f"p99 {other99:,.0f} ms; predict {alone:,.1f} questions/s",
                flush=True,
            )
        print(
            f"{task}, {clients} clients, median ratios: to predict {median(to_predict):.2f}, to the plain endpoint "
            f"{median(to_plain):.2f}; p99 is {median(tails):.1f} times the time of a batch",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", help="a MODEL folder of XS")
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--clients", type=lambda text: [int(one) for one in text.split(",")], default=[1, 16, 64], help="such as 1,64"
    )
    given = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if given.model:
        return measure(given, given.model)
    from asking import save

    with tempfile.TemporaryDirectory() as folder:
        save("xs", "", False, Path(folder))
        measure(given, folder)
    return None


PARTS: dict[str, Callable[..., None]] = {"load": report_load, "plain": serve_plain, "predict": report_predict}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in PARTS:
        PARTS[sys.argv[1]](*sys.argv[2:])
    else:
        main()
