"""A real OpenAI-compatible server, `transformers serve`, with a tiny model: in a process and on a port of its own."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from chat_server import CUT, GARBAGE, NO_CHOICES, SLOW, Fault, serving
from ecellm.data.dataset import Dataset
from ecellm.models.base import Reply, Request
from ecellm.models.remote.client import Server
from ecellm.models.remote.openai_compatible import OpenAIGenerator
from ecellm.models.remote.request_form import SYSTEM
from ecellm.types import SETTINGS
from tiny_models import save_tiny

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]
Run = Callable[..., tuple[int, str, str]]
SECONDS = 120


@dataclass(frozen=True)
class Served:
    base: Path
    url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server and the folder of its model."""
    base = save_tiny("llama", tmp_path_factory.mktemp("served"), seed=3, max_position_embeddings=4096)
    # This server samples only where the model's own settings do.
    (base / "generation_config.json").write_text('{"do_sample": true, "eos_token_id": 1, "pad_token_id": 0}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = ["transformers.cli.transformers", "serve", base, "--host", "127.0.0.1", "--port", port, "--device", "cpu"]
    log = base / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, line)],
            stdout=output,
            stderr=output,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        limit = time.monotonic() + SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None and time.monotonic() < limit, log.read_text()[-2000:]
            time.sleep(0.2)
        yield Served(base, f"http://127.0.0.1:{port}/v1")
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_every_task_and_setting_is_asked_of_a_real_server(
    run: Run, served: Served, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    out = tmp_path / "out.jsonl"
    ask = ("predict", f"openai:{served.base}", "--server", served.url, "--data", tiny_data.path, "--out", out)
    code, output, err = run(*ask, "--max-new-tokens", 8)
    assert code == 0, err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["setting"] for row in rows} == set(SETTINGS[:4]) and len(rows) == 72
    assert all(row["usage"]["prompt"] > 50 and 0 < row["usage"]["written"] <= 16 for row in rows)
    assert "The server counted" in output
    # This server takes no notice of the requested form, which a tiny random model does not find by itself.
    assert "Answers not in the requested form: 60." in output
    assert "0 answered, 72 skipped" in run(*ask, "--max-new-tokens", 8)[1]


def test_a_real_server_reads_and_writes_what_the_model_alone_would(served: Served, tiny_data: Dataset) -> None:
    model = OpenAIGenerator(str(served.base), Server(served.url))
    row = tiny_data.view(SETTINGS[3], tasks=["AG"])[0]
    (prompt,) = model.prompts([row])
    (reply,) = model.reply([Request(row, prompt)])
    tokenizer = AutoTokenizer.from_pretrained(served.base)
    alone = AutoModelForCausalLM.from_pretrained(served.base)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt.text}]
    read = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        written = alone.generate(**read, do_sample=False, max_new_tokens=100)[0, read["input_ids"].shape[1] :]
    assert isinstance(reply, Reply) and reply.usage is not None
    assert reply.text == tokenizer.decode(written, skip_special_tokens=True).strip()
    assert (reply.usage.prompt, reply.usage.written) == (read["input_ids"].shape[1], len(written))


def test_faults_on_the_way_to_a_real_server_cost_repeats_and_no_answer(
    run: Run, served: Served, tiny_data: Dataset, tmp_path: Path
) -> None:
    def answered(name: str, url: str) -> tuple[list[tuple[str, str, str]], str]:
        ask = ("predict", f"openai:{served.base}", "--server", url, "--data", tiny_data.path, "--limit", 30)
        code, output, err = run(*ask, "--out", tmp_path / name, "--max-new-tokens", 8, "--timeout", 10)
        assert code == 0, err
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        return sorted((row["id"], row["setting"], row["text"]) for row in rows), output

    plainly, output = answered("plain.jsonl", served.url)
    assert len(plainly) == 30 and "retried after an error" not in output
    with serving() as way:
        way.before, way.slow = served.url, 12.0
        faults: list[Fault] = [(429, {"Retry-After": "1"}, "slow down"), (500, {}, "broken"), (503, {}, "overloaded")]
        faults += [SLOW, CUT, GARBAGE, NO_CHOICES]
        way.faults = [one for fault in faults for one in (fault, None)]
        found, output = answered("faults.jsonl", way.url)
        assert found == plainly
        assert f"Requests retried after an error: {len(faults)}." in output
        assert len(way.bodies) == 30 + len(faults)


def test_sampled_answers_come_again_with_their_seed_alone(
    run: Run, served: Served, tiny_data: Dataset, tmp_path: Path
) -> None:
    def sampled(name: str, seed: int) -> list[str]:
        out = tmp_path / name
        ask = ("predict", f"openai:{served.base}", "--server", served.url, "--data", tiny_data.path, "--out", out)
        how = ("--decoding", "free", "--temperature", 1, "--max-new-tokens", 6, "--concurrency", 1, "--limit", 12)
        code, _, err = run(*ask, *how, "--sampling-seed", seed)
        assert code == 0, err
        return sorted(out.read_text().splitlines())

    assert sampled("one.jsonl", 1) == sampled("again.jsonl", 1) != sampled("two.jsonl", 2)


def test_a_model_that_the_server_does_not_have_is_said(
    run: Run, served: Served, tiny_data: Dataset, tmp_path: Path
) -> None:
    ask = ("predict", "openai:other/model", "--server", served.url, "--data", tiny_data.path)
    code, _, err = run(*ask, "--out", tmp_path / "out.jsonl")
    assert code == 1 and "questions in a row got no answer" in err and "400" in err
