"""`ecellm ask` with a server: an estimate first, answers kept as they come, nothing paid for twice."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chat_server import ChatServer, serving

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KEY = "sk-very-secret-0123456789"
PRICES = ("--price-in", 10, "--price-out", 30)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as made:
        monkeypatch.setenv("OPENAI_BASE_URL", made.url)
        yield made


@pytest.fixture
def ask(tmp_path: Path) -> tuple[object, ...]:
    """Asks about 30 rows, of which one is no valid question."""
    source = tmp_path / "reviews.csv"
    source.write_text("text\n" + "".join(f"review {number}\n" for number in range(29)) + '""\n')
    return ("ask", "SA", "openai:m", "--input", source, "--out", tmp_path / "out.csv")


def test_a_table_is_asked_and_its_cost_said(
    run: Run, server: ChatServer, ask: tuple[object, ...], tmp_path: Path
) -> None:
    code, output, err = run(*ask, *PRICES, "--max-cost", 5)
    assert code == 0, err
    assert output.index("Estimate for 29 questions") < output.index("The server counted 2,900 tokens read")
    assert "29 of 30 rows answered" in output and "1 rows rejected" in output
    assert len(server.bodies) == 29
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert {row["answer"] for row in rows} == {"very positive"} and len(rows) == 29
    assert not any(KEY in file.read_text() for file in tmp_path.iterdir()) and KEY not in output + err


def test_a_table_of_several_chunks_is_asked_to_its_end(
    run: Run, server: ChatServer, ask: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecellm.io.tables.rows.CHUNK", 10)
    code, output, err = run(*ask)
    assert code == 0 and "29 of 30 rows answered" in output, err
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 30


def test_too_dear_a_table_is_not_begun(run: Run, server: ChatServer, ask: tuple[object, ...], tmp_path: Path) -> None:
    code, _, err = run(*ask, *PRICES, "--max-cost", 0.0001)
    assert code == 1 and "estimated to cost" in err and not server.bodies
    assert [file.name for file in tmp_path.iterdir()] == ["reviews.csv"]


def test_a_run_that_costs_more_than_it_may_stops_and_goes_on(
    run: Run, server: ChatServer, ask: tuple[object, ...], tmp_path: Path
) -> None:
    server.read = 10_000  # so that an answer costs .1
    code, _, err = run(*ask, "--price-in", 10, "--price-out", 0, "--max-cost", 0.55, "--concurrency", 1)
    assert code == 1 and "above 0.5500, so it stopped" in err and not (tmp_path / "out.csv").exists()
    paid = len(server.bodies)
    assert 6 <= paid <= 7
    code, output, _ = run(*ask)
    assert code == 0 and len(server.bodies) == 29
    assert f"29 of 30 rows answered ({paid + 1} before this run)" in output  # and the rejected row


def test_what_failed_is_asked_again_alone(
    run: Run, server: ChatServer, ask: tuple[object, ...], tmp_path: Path
) -> None:
    server.faults = [None, (500, {}, "broken"), None, (500, {}, "broken")]
    code, _, err = run(*ask, "--retries", 0)
    assert code == 1 and "2 rows got no answer" in err and "Run the command again" in err
    assert "out.csv.failed.jsonl names them" in err
    server.bodies.clear()
    code, _, _ = run(*ask, "--retries", 0)
    assert code == 0 and len(server.bodies) == 2
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 30


def test_a_row_that_is_always_refused_does_not_keep_back_the_others(
    run: Run, server: ChatServer, ask: tuple[object, ...], tmp_path: Path
) -> None:
    server.faults = [None, (400, {}, "this text is against our policy")]
    code, output, err = run(*ask, "--skip-failed", "--concurrency", 1)
    assert code == 0, err
    assert "28 of 30 rows answered" in output and "2 rows rejected" in output and "against our policy" in output


def test_a_run_that_was_killed_goes_on_and_pays_for_nothing_twice(
    run: Run, server: ChatServer, tmp_path: Path
) -> None:
    source, out = tmp_path / "many.csv", tmp_path / "out.csv"
    source.write_text("text\n" + "".join(f"review {number}\n" for number in range(200)))
    arguments = ("ask", "SA", "openai:m", "--input", source, "--out", out, "--concurrency", 4)
    server.delay = 0.05
    process = subprocess.Popen(
        [sys.executable, "-m", "ecellm", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    part = tmp_path / "out.csv.part.jsonl"
    try:
        limit = time.monotonic() + 60
        while not (part.is_file() and part.read_bytes().count(b"\n") > 20):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)  # what was under way ends at the server
    before = part.read_bytes().rpartition(b"\n")[0].count(b"\n")
    assert 20 <= before < 200 and len(server.bodies) <= before + 2 * 4
    server.bodies.clear()
    code, output, err = run(*arguments)
    assert code == 0, err
    assert f"200 of 200 rows answered ({before} before this run)" in output and len(server.bodies) == 200 - before


def test_a_server_that_is_down_is_not_asked_every_row(run: Run, server: ChatServer, tmp_path: Path) -> None:
    source = tmp_path / "many.jsonl"
    source.write_text("".join(f'{{"text": "review {number}"}}\n' for number in range(300)))
    server.faults = [(500, {}, "down")] * 300
    code, _, err = run("ask", "SA", "openai:m", "--input", source, "--out", tmp_path / "a.jsonl", "--retries", 0)
    assert code == 1 and "questions in a row got no answer" in err and len(server.bodies) < 100


def test_one_question_is_put_to_a_server(run: Run, server: ChatServer) -> None:
    code, output, _ = run("ask", "SA", "openai:m", "--set", "text=The lid leaks.")
    assert code == 0 and output.splitlines()[0] == "very positive"
    assert "The lid leaks." in server.asked[0]
    server.faults = [(500, {}, "broken")]
    code, _, err = run("ask", "SA", "openai:m", "--set", "text=The lid leaks.", "--retries", 0)
    assert code == 1 and "The question got no answer: " in err and err.count("\n") == 1


def test_a_price_beside_one_question_is_refused(run: Run, server: ChatServer) -> None:
    for option in (("--price-in", 1), ("--price-out", 0), ("--price-in", 1, "--price-out", 0, "--max-cost", 1)):
        code, _, err = run("ask", "SA", "openai:m", "--set", "text=a", *option)
        assert code == 1 and f"{option[0]} is for a table" in err and not server.bodies


def test_a_fenced_answer_is_kept_as_said_and_read_where_parsing_is_lenient(
    run: Run, server: ChatServer, tmp_path: Path
) -> None:
    source, out = tmp_path / "pairs.csv", tmp_path / "out.csv"
    source.write_text("title_1,title_2\nmug,cup\n")
    fenced = '```json\n{"answer": "yes"}\n```'
    server.say, server.silent = lambda body: fenced, True
    ask = ("ask", "PM", "openai:m", "--input", source, "--out", out)
    code, output, err = run(*ask)
    assert code == 0 and f"1 of them unparsed (see {out}.unparsed.jsonl)" in output, err
    assert json.loads(Path(f"{out}.unparsed.jsonl").read_text()) == {"row": 1, "completion": fenced}
    assert "Answers in a code fence or behind thinking: 1." in output
    assert "Answers to which the server gave no log-probabilities: 1." in output
    code, output, err = run(*ask, "--parse", "lenient", "--overwrite", "--text")
    assert code == 0 and "unparsed" not in output and not Path(f"{out}.unparsed.jsonl").exists(), err
    assert "Answers unwrapped from a code fence or thinking: 1." in output
    assert list(csv.DictReader(out.read_text().splitlines())) == [
        {"title_1": "mug", "title_2": "cup", "answer": "yes", "probability": "", "completion": "yes"}
    ]
    one = ("ask", "PM", "openai:m", "--set", "title_1=mug", "--set", "title_2=cup")
    assert "cannot be parsed: ```json" in run(*one)[1]
    assert run(*one, "--parse", "lenient")[1].splitlines() == [
        "yes",
        "Answers to which the server gave no log-probabilities: 1.",
        "Answers unwrapped from a code fence or thinking: 1.",
    ]
    code, _, err = run("ask", "PM", tmp_path, *one[3:], "--parse", "lenient")
    assert code == 1 and "is no server's model: omit --parse lenient" in err


def test_prices_are_for_servers_alone(run: Run, tmp_path: Path) -> None:
    table = ("--input", tmp_path / "in.csv", "--out", tmp_path / "out.csv")
    code, _, err = run("ask", "SA", tmp_path, *table, "--price-in", 1)
    assert code == 1 and "openai:NAME" in err
