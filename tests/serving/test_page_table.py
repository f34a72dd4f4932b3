"""A table on the page: its first rows answered, and the whole downloaded as `ecellm ask` writes it."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx2
import pytest
from page_forms import Shown, downloaded, opened, uploaded

from ecellm.errors import DataError
from ecellm.inference.ask import ask
from ecellm.inference.table_checks import checked_table
from ecellm.inference.table_output import TableOptions
from ecellm.models.base import Failure, Generator
from ecellm.serving.app import create_app
from ecellm.serving.batching import Limits
from ecellm.serving.page_table import MAX_BYTES
from ecellm.tasks import TASKS
from scripted import ScriptedGenerator
from served import asking, first_candidate, run, service_of

#: Odd in every way that a cell may be: a byte order mark, quotes, a line break in a cell, bytes that are no UTF-8.
ODD = (
    b'\xef\xbb\xbfid,query,"title",price\r\n'
    b'1,usb c charger,"Charger, ""fast""",9.90\r\n'
    b"2,,no query,1e3\r\n"
    b'3,red mug,"two\r\nlines",007\r\n'
    b"4,too,few\r\n"
    b"5,bytes \xff here,a mug,5\r\n"
    b"6,last mug,a mug, 1 \r\n"
)


def written_by_ask(generator: Generator, name: str, data: bytes, folder: Path) -> bytes:
    """What `ecellm ask` writes."""
    source, out = folder / "table.csv", folder / "out.csv"
    source.write_bytes(data)
    table = checked_table(TASKS[name], source, out, TableOptions())
    ask(generator, TASKS[name], table, source, out, {"model": "tiny"})
    return out.read_bytes()


def table(name: str, data: bytes, task: str = "MPC", generator: Any = None, limits: Limits | None = None) -> Any:
    """The page of a table that was sent, and the download."""
    service = service_of(generator or first_candidate(), limits)

    async def send() -> tuple[Shown, httpx2.Response | None]:
        async with asking(service=service) as client:
            page = await uploaded(client, await opened(client, f"/?task={task}"), name, data)
            has = page.soup.find("form", attrs={"aria-label": "Download"})
            return page, await downloaded(client, page) if has else None

    return run(send())


def test_the_download_is_what_ask_writes_byte_by_byte(tmp_path: Path) -> None:
    page, reply = table("shop's table.csv", ODD)
    assert page.reply.status_code == reply.status_code == 200
    assert reply.content == written_by_ask(first_candidate(), "MPC", ODD, tmp_path)
    assert reply.headers["content-disposition"] == 'attachment; filename="shop_s_table.answers.csv"'
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"


def test_the_first_rows_are_shown_and_rejected_ones_are_counted_with_reasons() -> None:
    page, _ = table("table.csv", ODD)
    rows = [row.get_text(" ", strip=True) for row in page.soup.select(".rows tbody tr")]
    assert len(rows) == 6 and rows[0].endswith("exact") and "Rejected: query is empty." in rows[1]
    assert "6 rows, of which 3 are rejected" in page.text("#table")
    assert "query is empty. (row 2)" in page.text("ul.note")
    many = b"text\n" + b"".join(b"Review %d\n" % number for number in range(50))
    page, reply = table("many.csv", many, "SA")
    assert len(page.soup.select(".rows tbody tr")) == 20 and "50 rows. The first 20" in page.text("#table")
    assert reply.text.count("\n") == 51


def test_probabilities_are_those_of_ask(xs: Generator, tmp_path: Path) -> None:
    data = b"query,title\n" + b"".join(b"mug %d,steel mug %d\n" % (place, place) for place in range(12))
    _, reply = table("a.csv", data, "MPC", xs)
    found = [line.split(",") for line in reply.text.splitlines()]
    known = [line.split(",") for line in written_by_ask(xs, "MPC", data, tmp_path).decode().splitlines()]
    assert [row[:3] for row in found] == [row[:3] for row in known]
    for one, other in zip(found[1:], known[1:], strict=True):
        assert float(one[3]) == pytest.approx(float(other[3]), abs=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Choose a CSV file"),
        (b"a,b\n1,2\n", "table.csv has no column query and no column title"),
        (b"query,title\n", "table.csv has no rows"),
        (b"query,title,answer\n1,2,3\n", "has a column answer already"),
        (b"query,title\n,\n", "No row is a valid question. Of row 1: query is empty."),
        (b"query,query\n1,2\n", "more than once"),
        (b"PAR1 and more", "table.csv"),
        (b"query,title\n" + b"a,b\n" * 10_001, "more than 10,000 rows"),
        (b"query,title\n" + b"a" * MAX_BYTES, "more than 2 MiB"),
    ],
)
def test_what_cannot_be_a_table_is_said_beside_the_file(data: bytes, message: str) -> None:
    page, reply = table("table.csv", data)
    assert reply is None and page.reply.status_code == 422
    assert message in page.text("#error-file") and "/tmp" not in page.text("#error-file")
    assert page.soup.select_one("#file[aria-invalid=true]") is not None


@pytest.mark.parametrize("name", ["../../etc/passwd.csv", "C:\\a\\b.csv", "", "<script>.csv", "ü" * 300, '";x=".csv'])
def test_a_file_s_name_is_no_path_and_no_markup(name: str) -> None:
    page, reply = table(name or "x", b"text\nGood.\n", "SA")
    assert reply.status_code == 200
    assert len(page.soup.find_all("script")) == 1
    kept = reply.headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')
    assert kept.endswith(".answers.csv") and not set(kept) & set('/\\"<>;') and len(kept) < 80


def test_a_table_that_was_changed_on_the_way_is_refused() -> None:
    async def send() -> list[Shown]:
        async with asking() as client:
            return [
                Shown(await client.post("/?task=SA", files={name: (None, value) for name, value in form.items()}))
                for form in (
                    {"do": "download", "csv": "not base64!"},
                    {"do": "download"},
                    {"do": "download", "csv": "dGV4dA==", "name": "a.csv"},
                    {"do": "table", "file": "no file"},
                )
            ]

    for page in run(send()):
        assert page.reply.status_code == 422 and page.text("#error-file")


def test_a_table_leaves_room_in_the_queue_and_waits_where_there_is_none() -> None:
    """A thousand rows through a queue of eight, while single questions go on being answered."""
    data = b"text\n" + b"".join(b"Review %d\n" % number for number in range(1000))
    service = service_of(first_candidate(), Limits(queue=8, rows=4, wait=0))
    waiting = []

    async def send() -> tuple[httpx2.Response, list[int]]:
        async with asking(service=service) as client:
            page = await uploaded(client, await opened(client, "/?task=SA"), "t.csv", data)
            going = asyncio.create_task(downloaded(client, page))
            statuses = []
            while not going.done():
                statuses.append((await client.post("/v1/sentiment", json={"text": "Good."})).status_code)
                assert service.batcher is not None
                waiting.append(service.batcher.waiting)
            return await going, statuses

    reply, statuses = run(send())
    assert reply.status_code == 200 and reply.text.count("\n") == 1001
    assert set(statuses) == {200} and max(waiting) <= 8


def test_a_row_that_the_model_cannot_read_has_no_answer_and_one_it_fails_at_ends_the_download() -> None:
    class Odd(ScriptedGenerator):
        def prompts(self, questions: Any) -> Any:
            if any("too long" in question.example.input for question in questions):
                raise DataError("The prompt does not fit.")
            return super().prompts(questions)

        def reply(self, requests: Any) -> Any:
            replies = super().reply(requests)
            return [
                Failure("no quota") if "fail" in one.prompt.text else two
                for one, two in zip(requests, replies, strict=True)
            ]

    good = first_candidate()
    page, reply = table("t.csv", b"text\nGood.\ntoo long\n", "SA", Odd(good.script))
    assert "Rejected: The prompt does not fit." in page.text(".rows")
    assert [line.partition(",")[2] for line in reply.text.splitlines()] == [
        "answer,probability",
        "very positive,",
        ",",
    ]
    page, reply = table("t.csv", b"text\nGood.\nfail\n", "SA", Odd(good.script))
    assert reply is None and page.reply.status_code == 502 and "no quota" in page.text("#error-file")
    late = b"text\n" + b"Good.\n" * 30 + b"fail\n"
    with pytest.raises(AssertionError):  # of the transport: the response is not complete
        table("t.csv", late, "SA", Odd(good.script), Limits(rows=4, wait=0))


def test_a_client_that_goes_away_ends_the_download() -> None:
    service = service_of(first_candidate(), Limits(rows=4, wait=0))
    app = create_app(service)
    csv = base64.b64encode(b"text\n" + b"Good.\n" * 5000).decode()
    request = httpx2.Request("POST", "http://service/?task=SA", data={"do": "download", "name": "a.csv", "csv": csv})
    gone = asyncio.Event()
    messages = [{"type": "http.request", "body": request.read(), "more_body": False}]
    pieces: list[bytes] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pieces.append(message.get("body", b""))
        if len(pieces) == 5:
            gone.set()

    async def download() -> None:
        await service.start()
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"task=SA", "http_version": "1.1"}
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        await app({**scope, "scheme": "http", "root_path": "", "headers": headers}, receive, send)
        await service.drain(0)

    run(download())
    assert 5 <= len(pieces) < 50 and service.under_way == 0


def test_half_of_a_surrogate_pair_in_an_answer_is_no_error() -> None:
    page, reply = table(
        "a.csv", b"question,snippets\na\xff,b\nc,d\n", "AG", ScriptedGenerator(lambda question: "5\ud800")
    )
    assert "5?" in page.text(".rows") and reply.content.endswith(b"c,d,5?,\n")
