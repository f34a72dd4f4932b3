"""What is refused before it is parsed, keys, probes, figures, logs, and clients that go away."""

import asyncio
import gzip
import json
import logging
from typing import Any

import httpx2
import pytest

from ecellm.errors import ModelError, ServerError
from ecellm.models.base import Failure
from ecellm.serving.app import create_app
from ecellm.serving.batching import Limits
from ecellm.serving.guard import Allowed
from ecellm.serving.keys import Keys
from ecellm.serving.logs import LOGGER, JsonFormatter, Seldom
from ecellm.serving.service import Loaded, Service
from ecellm.tasks import TASKS
from scripted import ScriptedGenerator
from served import asking, first_candidate, gathered, run, service_of

JSON = {"content-type": "application/json"}
SENTIMENT = {"text": "A fine mug."}


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b'{"text": NaN}', JSON, 400, "no valid JSON"),
        (b'{"text": Infinity}', JSON, 400, "no valid JSON"),
        (b'{"text": "\\ud800"}', JSON, 400, "no valid JSON"),
        (b'{"text": "\xff"}', JSON, 400, "no valid JSON"),
        (b'{"text": ', JSON, 400, "no valid JSON"),
        (b"[" * 100_000, JSON, 400, "no valid JSON"),
        (b'{"text":' * 5000 + b"1" + b"}" * 5000, JSON, 400, "no valid JSON"),
        (b"9" * 10_000, JSON, 400, "no valid JSON"),
        (b"", JSON, 422, "is missing"),
        (b"x" * 4_200_000, JSON, 413, "4,194,304 bytes"),
        (gzip.compress(b" " * 10_000_000), {**JSON, "content-encoding": "gzip"}, 415, "Content-Encoding"),
        (b'{"text": "a"}', {"content-type": "text/plain"}, 415, "as JSON"),
        (b'{"text": "a"}', {}, 415, "as JSON"),
        (b'{"text": "a"}', {**JSON, **{f"x-{number}": "y" for number in range(150)}}, 431, "headers"),
    ],
)
def test_odd_bodies_are_refused_in_a_sentence_and_the_next_is_answered(
    content: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    async def ask() -> tuple[httpx2.Response, httpx2.Response]:
        async with asking() as client:
            odd = await client.post("/v1/sentiment", content=content, headers=headers)
            return odd, await client.post("/v1/sentiment", json=SENTIMENT)

    odd, good = run(ask())
    assert odd.status_code == status and good.status_code == 200
    assert odd.headers["content-type"] == "application/problem+json" and message in odd.json()["detail"]


def test_a_body_of_unknown_length_is_counted_as_it_comes() -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 100_000

    async def ask() -> httpx2.Response:
        async with asking() as client:
            return await client.post("/v1/sentiment", content=endless(), headers=JSON)

    assert run(ask()).status_code == 413


@pytest.mark.parametrize("path", ["/v1/../etc/passwd", "/v1/match/", "//v1/match", "/v1/%2e%2e/x", "/v1/MATCH"])
def test_other_paths_are_not_there(path: str) -> None:
    async def ask() -> httpx2.Response:
        async with asking() as client:
            return await client.post(path, json=SENTIMENT)

    reply = run(ask())
    assert reply.status_code == 404 and reply.json()["type"].endswith("not-found")


def test_keys() -> None:
    allowed = Allowed(Keys(["first-key", "zweiter-schlüssel"]))

    async def ask() -> dict[str, int]:
        async with asking(allowed=allowed) as client:

            async def status(path: str, header: str | bytes | None) -> int:
                headers = {} if header is None else {"authorization": header}
                reply = await client.post(path, json=SENTIMENT, headers=headers)  # type: ignore[arg-type]
                if reply.status_code == 401:
                    assert reply.headers["www-authenticate"] == "Bearer"
                return reply.status_code

            found = {
                "none": await status("/v1/sentiment", None),
                "wrong": await status("/v1/sentiment", "Bearer first-kez"),
                "part": await status("/v1/sentiment", "Bearer first-ke"),
                "empty": await status("/v1/sentiment", "Bearer "),
                "bare": await status("/v1/sentiment", "first-key"),
                "basic": await status("/v1/sentiment", "Basic first-key"),
                "unknown path": await status("/v1/nope", None),
                "first": await status("/v1/sentiment", "Bearer first-key"),
                "second": await status("/v1/sentiment", "bearer zweiter-schlüssel".encode()),
                "docs": (await client.get("/docs")).status_code,
                "metrics": (await client.get("/metrics")).status_code,
                "probe": (await client.get("/readyz")).status_code,
            }
            key = {"authorization": "Bearer first-key"}
            found["reload"] = (await client.post("/admin/reload", headers=key)).status_code
            found["reload without"] = (await client.post("/admin/reload")).status_code
            return found

    found = run(ask())
    accepted = {"first": 200, "second": 200, "probe": 200, "reload": 200}
    assert found == {name: accepted.get(name, 401) for name in found}


def test_keys_come_from_the_environment_one_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECELLM_API_KEY", " one , two,")
    keys = Keys.from_environment()
    assert keys and keys.accept(b"Bearer one") and keys.accept(b"Bearer two") and not keys.accept(b"Bearer ")
    monkeypatch.setenv("ECELLM_API_KEY", " , ")
    assert not Keys.from_environment() and Keys.from_environment().accept(None)


def test_without_a_key_no_request_reloads() -> None:
    async def ask() -> int:
        async with asking() as client:
            return (await client.post("/admin/reload")).status_code

    assert run(ask()) == 403


def test_the_service_is_ready_once_the_model_is_warm_and_not_while_it_shuts_down() -> None:
    generator = first_candidate()
    service = service_of(generator)
    tasks: list[str] = []
    script = generator.script
    generator.script = lambda question: (tasks.append(question.example.task), script(question))[1]  # type: ignore[operator, func-returns-value]

    async def ask() -> None:
        transport = httpx2.ASGITransport(create_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:

            async def statuses() -> list[int]:
                early = await client.post("/v1/sentiment", json=SENTIMENT)
                return [
                    early.status_code,
                    *[(await client.get(path)).status_code for path in ("/healthz", "/readyz")],
                ]

            assert await statuses() == [503, 200, 503]
            await service.start()
            assert set(tasks) == set(TASKS)
            assert await statuses() == [200, 200, 200]
            await service.drain(0)
            assert await statuses() == [503, 200, 503]
            refused = await client.post("/v1/sentiment", json=SENTIMENT)
            assert refused.headers["retry-after"] and refused.headers["connection"] == "close"
            assert "shutting down" in refused.json()["detail"]

    run(ask())


def test_a_model_that_cannot_be_loaded_leaves_the_service_unready() -> None:
    def load() -> Loaded:
        raise ModelError("There is no such model.")

    service = Service("tiny", tuple(TASKS.values()), load)

    async def ask() -> None:
        with pytest.raises(ModelError):
            await service.start()

    run(ask())
    assert service.state == "failed" and not service.is_ready


def test_a_model_that_does_not_answer_its_examples_is_not_ready() -> None:
    class Mute(ScriptedGenerator):
        def reply(self, requests: Any) -> Any:
            return [Failure("no more quota") for _ in requests]

    service = service_of(Mute({}))
    with pytest.raises(ServerError, match="no more quota"):
        run(service.start())
    assert not service.is_ready


class Gate:
    """A model that answers once it may."""

    def __init__(self) -> None:
        import threading

        self.inner = first_candidate()
        self.prompts = self.inner.prompts
        self.open, self.entered, self.batches = threading.Event(), threading.Event(), list[int]()
        self.warm = 0

    def reply(self, requests: Any) -> Any:
        if any("gate" in request.prompt.text for request in requests):
            self.entered.set()
            assert self.open.wait(20)
            self.batches.append(len(requests))
        return self.inner.reply(requests)


def test_a_full_queue_is_429_with_a_time_to_wait() -> None:
    gate = Gate()
    service = service_of(gate, Limits(queue=2, rows=1, wait=0))

    async def ask() -> tuple[list[int], httpx2.Response]:
        async with asking(service=service) as client:
            post = [asyncio.create_task(client.post("/v1/sentiment", json={"text": "gate"}))]
            while not gate.entered.is_set():
                await asyncio.sleep(0.001)
            post += [asyncio.create_task(client.post("/v1/sentiment", json={"text": "gate"})) for _ in range(2)]
            while service.batcher is None or service.batcher.waiting < 2:
                await asyncio.sleep(0.001)
            full = await client.post("/v1/sentiment", json={"text": "gate"})
            gate.open.set()
            return [reply.status_code for reply in await gathered(*post)], full

    accepted, full = run(ask())
    assert accepted == [200, 200, 200]
    assert full.status_code == 429 and int(full.headers["retry-after"]) >= 1
    assert full.json()["type"].endswith("queue-full")


def test_a_client_that_goes_away_frees_its_place() -> None:
    gate = Gate()
    service = service_of(gate, Limits(queue=4, rows=1, wait=0))
    app = create_app(service)

    async def post(gone: asyncio.Event) -> list[Any]:
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": b'{"text": "gate"}', "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/sentiment", "headers": headers, "query_string": b""}
        await app({**scope, "http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send)
        return sent

    async def ask() -> None:
        await service.start()
        assert service.batcher is not None
        stays, leaves = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(post(stays))
        while not gate.entered.is_set():
            await asyncio.sleep(0.001)
        second = asyncio.create_task(post(leaves))
        while service.batcher.waiting < 1:
            await asyncio.sleep(0.001)
        leaves.set()
        assert await second == [] and service.batcher.waiting == 0
        gate.open.set()
        assert (await first)[0]["status"] == 200
        await service.drain(5)

    run(ask())
    assert gate.batches == [1], "what nobody waits for is not answered"
    assert b'ecellm_errors_total{kind="client-gone"} 1.0' in service.metrics.text()


def test_a_slow_body_is_given_up() -> None:
    async def slow() -> Any:
        yield b'{"text": '
        await asyncio.sleep(5)
        yield b'"a"}'

    async def ask() -> httpx2.Response:
        async with asking(allowed=Allowed(body_seconds=0.05)) as client:
            return await client.post("/v1/sentiment", content=slow(), headers=JSON)

    assert run(ask()).status_code == 408


def test_reload_asks_the_new_model_and_keeps_the_old_one_where_it_cannot_be_loaded() -> None:
    tasks = tuple(TASKS.values())
    models: list[Any] = [first_candidate(), ScriptedGenerator(lambda question: "no")]

    def load() -> Loaded:
        if not models:
            raise ModelError("the folder is gone")
        return Loaded(models.pop(0), tasks)

    service = Service("tiny", tasks, load, Limits(wait=0.001))
    body = {"product_1": "a", "product_2": "b"}

    async def ask() -> tuple[list[Any], httpx2.Response]:
        async with asking(service=service, allowed=Allowed(Keys(["key"]))) as client:
            client.headers["authorization"] = "Bearer key"
            answers = []
            requests = [asyncio.create_task(client.post("/v1/match", json=body)) for _ in range(30)]
            reloading = asyncio.create_task(client.post("/admin/reload"))
            assert {reply.status_code for reply in await gathered(*requests)} == {200}
            assert (await reloading).status_code == 200
            answers.append((await client.post("/v1/match", json=body)).json()["answer"])
            failed = await client.post("/admin/reload")
            answers.append((await client.post("/v1/match", json=body)).json()["answer"])
            return answers, failed

    answers, failed = run(ask())
    assert answers == ["no", "no"]
    assert failed.status_code == 500 and "the folder is gone" in failed.json()["detail"]


def test_figures_and_logs_say_what_happened_and_no_text() -> None:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(record))

    logger, handler = logging.getLogger(LOGGER), Keep()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def say(question: Any) -> str:
        if "secret crash" in question.example.input:
            raise RuntimeError("secret words")
        return "A: very positive"

    async def ask() -> str:
        async with asking(ScriptedGenerator(say), allowed=Allowed(Keys(["secret-key"]))) as client:
            client.headers["authorization"] = "Bearer secret-key"
            await client.post("/v1/sentiment", json={"text": "secret words"})
            await client.post("/v1/sentiment", json={"text": "secret crash"})
            await client.post("/v1/sentiment", json={"words": "secret"})
            await client.get("/secret/path")
            return (await client.get("/metrics")).text

    try:
        text = run(ask())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    names = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert names and all(name.startswith("ecellm_") for name in names)
    assert 'ecellm_requests_total{path="/v1/sentiment",status="200"} 1.0' in text
    assert 'ecellm_errors_total{kind="invalid-request"} 1.0' in text
    assert 'ecellm_errors_total{kind="internal"} 1.0' in text
    assert 'ecellm_questions_total{task="SA"} 2.0' in text and "ecellm_ready 1.0" in text
    assert "ecellm_queue_questions 0.0" in text and "ecellm_batch_rows_count" in text
    records = [json.loads(line) for line in lines]
    statuses = [record["status"] for record in records if record["event"] == "request"]
    assert statuses == [200, 500, 422, 404]
    (crashed,) = (record for record in records if record["event"] == "internal error")
    assert crashed["error"] == "RuntimeError" and any("say" in where for where in crashed["where"])
    assert "secret" not in "".join(lines)


def test_a_flood_of_one_message_is_not_one_of_lines() -> None:
    seldom = Seldom(10)

    def passes(message: str, when: float) -> bool:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, message, (), None)
        record.created = when
        return seldom.filter(record)

    found = [passes(*one) for one in (("full", 100), ("full", 105), ("odd", 105), ("full", 111), ("full", 112))]
    assert found == [True, False, True, True, False]
