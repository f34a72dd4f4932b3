"""`ecellm predict` with a server: killed and gone on with, in shards, within a budget, with the key kept secret."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chat_server import ChatServer, serving
from ecellm.data.dataset import Dataset, write_split
from ecellm.types import SETTINGS, Example
from shop_rows import rows

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KEY = "sk-very-secret-0123456789"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as made:
        monkeypatch.setenv("OPENAI_BASE_URL", made.url)
        yield made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    tests = [example for example in rows("test", 25) if example.task in ("PM", "SA")]
    for split, examples in (("train", rows("train", 3)), ("validation", list[Example]()), ("test", tests)):
        write_split(examples, folder / f"{split}.parquet")
    (folder / "manifest.json").write_text('{"seed": 1}')
    return folder


def answers(out: Path) -> dict[tuple[str, str], str]:
    found = [json.loads(line) for line in out.read_text().splitlines()]
    texts = {(row["id"], row["setting"]): row["text"] for row in found}
    assert len(texts) == len(found)
    return texts


def start(*arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "ecellm", "predict", "openai:m", *map(str, arguments)]
    return subprocess.Popen(line, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_all_is_asked_and_tokens_and_cost_are_said(run: Run, server: ChatServer, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    prices = ("--price-in", 10, "--price-out", 30)
    code, output, err = run("predict", "openai:m", "--data", data, "--out", out, *prices, "--max-cost", 5)
    assert code == 0, err
    assert len(answers(out)) == 200 == len(server.bodies)
    assert "Estimate for 200 questions" in output
    assert output.index("Estimate") < output.index(
        "The server counted 20,000 tokens read and 1,400 written (cost 0.2420)"
    )
    record = json.loads((tmp_path / "out.jsonl.meta.json").read_text())
    assert record.keys() == {"model", "server", "prompt", "decoding", "dataset"}
    assert record["server"].startswith(server.url)
    took = json.loads((tmp_path / "out.jsonl.took.jsonl").read_text())
    assert (took["answered"], took["read"], took["written"]) == (200, 20_000, 1_400)
    assert took["cost"] == pytest.approx(0.242)
    for file in tmp_path.glob("out*"):
        assert KEY not in file.read_text()
    assert KEY not in output + err


def test_a_run_that_would_cost_too_much_does_not_start(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    ask = ("predict", "openai:m", "--data", data, "--out", tmp_path / "out.jsonl")
    code, _, err = run(*ask, "--price-in", 10, "--price-out", 30, "--max-cost", 0.001)
    assert code == 1 and "estimated to cost" in err and not server.bodies
    assert not list(tmp_path.glob("out*"))
    code, _, err = run(*ask, "--max-cost", 1)
    assert code == 1 and "needs prices" in err


def test_a_run_that_costs_more_than_it_may_stops_and_goes_on(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    server.read = 10_000  # so that an answer costs .1, against an estimate of less than .01
    out = tmp_path / "out.jsonl"
    ask = ("predict", "openai:m", "--data", data, "--out", out, "--price-in", 10, "--price-out", 0, "--limit", 12)
    code, _, err = run(*ask, "--concurrency", 1, "--max-cost", 0.55)
    assert code == 1 and "cost 0.6000, above 0.5500, so it stopped" in err
    kept = len(answers(out))
    assert 6 <= kept <= 7 and kept == len(server.bodies)  # one may have been under way, and is paid for
    code, output, _ = run(*ask)
    assert code == 0 and f"{12 - kept} answered, {kept} skipped" in output


def test_failures_are_said_counted_and_asked_again(run: Run, server: ChatServer, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ask = ("predict", "openai:m", "--data", data, "--out", out, "--retries", 0, "--setting", SETTINGS[0])
    server.faults = [None, (500, {}, f"broken, {KEY}"), None, (500, {}, "broken")]
    code, output, err = run(*ask)
    assert code == 1 and len(err.splitlines()[-1:]) == 1
    assert "2 questions got no answer" in err and "out.jsonl.failed.jsonl says why" in err
    assert "48 answered" in output
    failed = (tmp_path / "out.jsonl.failed.jsonl").read_text()
    assert failed.count("the server returned 500: broken") == 2 and KEY not in failed + err + output
    server.bodies.clear()
    code, output, _ = run(*ask)
    assert code == 0 and len(server.bodies) == 2 and "2 answered, 48 skipped" in output
    assert not (tmp_path / "out.jsonl.failed.jsonl").exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (("--sampling-seed", 1), "decoding"),
        (("--temperature", 0.5), "decoding"),
        (("--max-new-tokens", 99), "decoding"),
        (("--template", "alpaca"), "prompt"),
        (("--server", "http://127.0.0.1:9/v1"), "server"),
    ],
)
def test_answers_made_otherwise_are_not_reused(
    run: Run, server: ChatServer, data: Path, tmp_path: Path, changed: tuple[object, ...], named: str
) -> None:
    out = tmp_path / "out.jsonl"
    ask = ("predict", "openai:m", "--data", data, "--out", out, "--limit", 2, "--decoding", "free")
    sampled = () if changed[0] == "--temperature" else ("--temperature", 0.15)
    assert run(*ask, *sampled)[0] == 0
    server.bodies.clear()
    code, _, err = run(*ask, *sampled, *changed)
    assert code == 1 and f"answers of another {named}:" in err and not server.bodies
    assert run(*ask, *sampled)[1].startswith("0 answered, 2 skipped")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "0/4"), "is no shard"),
        (("--shard", "5/4"), "is no shard"),
        (("--shard", "half"), "is no shard"),
        (("--top-p", 0.5), "--top-p"),
        (("--server", "localhost"), "begins with http"),
        (("--template", "nothing"), "no template"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Run, server: ChatServer, data: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    code, _, err = run("predict", "openai:m", "--data", data, "--out", tmp_path / "out.jsonl", *arguments)
    assert code == 1 and message in err and len(err.splitlines()) == 1 and not server.bodies


def test_prices_are_for_servers_alone(run: Run, data: Path, tmp_path: Path) -> None:
    code, _, err = run("predict", tmp_path, "--data", data, "--out", tmp_path / "out.jsonl", "--price-in", 1)
    assert code == 1 and "openai:NAME" in err


def test_a_wrong_key_stops_at_once(run: Run, server: ChatServer, data: Path, tmp_path: Path) -> None:
    server.faults = [(401, {}, f"Incorrect API key: {KEY}")] * 300
    code, _, err = run("predict", "openai:m", "--data", data, "--out", tmp_path / "out.jsonl")
    assert code == 1 and "does not accept the key" in err and KEY not in err
    assert len(server.bodies) <= 16


def test_a_run_that_was_killed_goes_on_and_asks_nothing_twice(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    server.delay = 0.05
    process = start("--data", data, "--out", out, "--concurrency", 4)
    try:
        limit = time.monotonic() + 60
        while not (out.is_file() and out.read_bytes().count(b"\n") >= 20):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    time.sleep(0.2)  # what was under way ends at the server
    before = out.read_bytes().rpartition(b"\n")[0].count(b"\n") + 1
    assert 20 <= before < 200
    assert len(server.bodies) <= before + 2 * 4  # under way when it was killed, or just answered
    server.bodies.clear()
    code, output, err = run("predict", "openai:m", "--data", data, "--out", out)
    assert code == 0, err
    assert f"{200 - before} answered, {before} skipped" in output
    assert len(server.bodies) == 200 - before and len(answers(out)) == 200


@pytest.mark.slow
def test_shards_of_processes_run_at_once_join_to_the_whole(
    run: Run, server: ChatServer, data: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / f"part{number}.jsonl" for number in (1, 2, 3)]
    processes = [
        start("--data", data, "--out", out, "--shard", f"{number}/3") for number, out in enumerate(outs, start=1)
    ]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert len(server.bodies) == 200
    whole, joined = tmp_path / "whole.jsonl", tmp_path / "joined.jsonl"
    code, output, _ = run("join", *outs, "--out", joined)
    assert code == 0 and "200 answers written" in output
    assert run("predict", "openai:m", "--data", data, "--out", whole)[0] == 0
    assert answers(joined) == answers(whole)
    assert (tmp_path / "joined.jsonl.meta.json").read_text() == (tmp_path / "whole.jsonl.meta.json").read_text()
    assert "0 answered, 200 skipped" in run("predict", "openai:m", "--data", data, "--out", joined)[1]


def test_a_missing_or_repeated_shard_is_noticed(run: Run, server: ChatServer, data: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"part{number}.jsonl" for number in (1, 2, 3)]
    ask, limit = ("predict", "openai:m", "--data", data), ("--limit", 20)
    for number, out in enumerate(outs, start=1):
        assert run(*ask, *limit, "--out", out, "--shard", f"{number}/3")[0] == 0
    (again := tmp_path / "again.jsonl").write_bytes(outs[0].read_bytes())
    (tmp_path / "again.jsonl.meta.json").write_bytes((tmp_path / "part1.jsonl.meta.json").read_bytes())
    halves = tmp_path / "half.jsonl"
    assert run(*ask, *limit, "--out", halves, "--shard", "1/2")[0] == 0
    joined = tmp_path / "joined.jsonl"
    for parts, message in (
        (outs[:2], "No part is shard 3/3: answer it with `ecellm predict --shard 3/3`"),
        ([*outs, again], f"{outs[0]} and {again} are the same part of the run"),
        ([*outs, outs[2]], "name each part once"),
        ([outs[0], halves], "shards of different divisions (1/3, 1/2)"),
    ):
        code, _, err = run("join", *parts, "--out", joined)
        assert code == 1 and message in err and not list(tmp_path.glob("joined*")), err
    code, output, err = run("join", *reversed(outs), "--out", joined)
    assert code == 0 and "20 answers written" in output, err
    assert "0 answered, 20 skipped" in run(*ask, *limit, "--out", joined)[1]
    count = len(outs[1].read_text().splitlines())
    outs[1].write_text("")
    code, _, err = run("join", *outs, "--out", tmp_path / "lacking.jsonl")
    said = f"{outs[1]} (shard 2/3) is empty, but {outs[1].name}.took.jsonl counts {count} answers"
    assert code == 1 and said in err, err
    code, _, err = run(*ask, *limit, "--out", outs[0], "--shard", "2/3")
    assert code == 1 and "holds answers of another shard" in err


def test_the_join_verb_refuses_what_is_no_part(run: Run, tmp_path: Path, tiny_data: Dataset) -> None:
    code, _, err = run("join", tiny_data.path / "manifest.json", "--out", tmp_path / "all.jsonl")
    assert code == 1 and "names the model and data" in err and not list(tmp_path.iterdir())
