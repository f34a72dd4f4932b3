"""Overhead of asking a server: answers a second that a prediction run takes in from a server that answers at once,
its bar and its file included, against the bare openai client in a plain thread pool that sends the same requests and
keeps nothing.

The server is a process of its own on another core; the asking process has one core. Expected before measuring: most
of the time is the client's own (headers, HTTP, JSON), so at least 300 answers a second and a ratio above .8.

    python benchmarks/asking_client.py
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

QUESTIONS, ROUNDS, CONCURRENCY = 1000, 7, 8
AIM = 300


def served() -> bytes:
    """An answer with a probability: five tokens, each with the twenty likeliest."""
    likely = [
        {"token": token, "logprob": -0.1 * place} for place, token in enumerate(["yes", "no", *"abcdefghijklmnopqr"])
    ]
    tokens = [
        {"token": token, "logprob": -0.1, "top_logprobs": likely} for token in ('{"', "answer", '": "', "yes", '"}')
    ]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": '{"answer": "yes"}'},
        "logprobs": {"content": tokens},
    }
    usage = {"prompt_tokens": 200, "completion_tokens": 5, "total_tokens": 205}
    made = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(made).encode()


async def serve() -> None:
    """Answer every request at once; say the port first."""
    body = served()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def measure(url: str) -> None:
    from openai import OpenAI
    from rich.console import Console

    from ecellm.inference.predict import predict
    from ecellm.io.progress import QuestionProgress
    from ecellm.models.base import Request
    from ecellm.models.remote.client import Server
    from ecellm.models.remote.openai_compatible import OpenAIGenerator
    from ecellm.tasks import TASKS
    from ecellm.types import SETTINGS, Example, Question

    def example(number: int) -> Example:
        record = {"title": f"blue steel mug {number}", "description": "a mug for the home " * 20, "price": "5"}
        text = json.dumps({"product 1": record, "product 2": record})
        return Example(f"PM-{number:05}", "PM", "IND", "test", text, None, "yes")

    rows = [Question(example(number), TASKS["PM"].seed_instruction) for number in range(QUESTIONS)]
    generator = OpenAIGenerator("m", Server(url, CONCURRENCY))
    questions = [Request(row, prompt) for row, prompt in zip(rows, generator.prompts(rows), strict=True)]
    bodies = [generator.form.body(question) for question in questions]
    bare = OpenAI(base_url=url, api_key="none")

    def plainly() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            said = list(
                pool.map(lambda body: bare.chat.completions.create(**body).choices[0].message.content, bodies)
            )
        assert len(said) == QUESTIONS
        return QUESTIONS / (time.perf_counter() - began)

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
            began = time.perf_counter()
            with QuestionProgress(Console(file=nowhere, force_terminal=True)) as progress:
                counts = predict(generator, {SETTINGS[0]: rows}, Path(folder) / "out.jsonl", {"model": "m"}, progress)
            seconds = time.perf_counter() - began
        assert counts.answered == QUESTIONS and not counts.unparsed
        return QUESTIONS / seconds

    plainly(), ours()
    rates: list[Sequence[float]] = []
    for _ in range(ROUNDS):
        rates.append((ours(), plainly()))
        print(f"ours {rates[-1][0]:,.0f} answers/s, the bare client {rates[-1][1]:,.0f}")
    mine, theirs = (statistics.median(rate[place] for rate in rates) for place in (0, 1))
    print(f"median: ours {mine:,.0f} answers/s on one core (aim: at least {AIM}), the bare client {theirs:,.0f}")
    print(f"median ratio, ours / bare: {statistics.median(one / other for one, other in rates):.2f}")


def main() -> None:
    process = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, cores[1:] or cores)
        os.sched_setaffinity(0, cores[:1])
        measure(f"http://127.0.0.1:{port}/v1")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    asyncio.run(serve()) if sys.argv[1:] == ["serve"] else main()
