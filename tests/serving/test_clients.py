"""`ecellm.Client` and `AsyncClient` against a live service: the methods and answers of a model, errors, retries."""

import ast
import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

import async_methods
import ecellm
from ecellm.inference.async_task_methods import AsyncTaskMethods
from ecellm.inference.model import Model
from ecellm.inference.task_methods import TaskMethods
from ecellm.models.base import Generator
from ecellm.models.remote import client as remote
from ecellm.models.remote.service_form import MOST_BYTES, MOST_QUESTIONS, checked_key, parts, read
from ecellm.serving.batching import QueueFullError
from ecellm.serving.service import Loaded, Service
from ecellm.tasks import TASKS
from live_service import Live, live
from own_tasks.buying_again import TASK as BUYING_AGAIN
from served import first_candidate, run, service_of

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KEY = "a-key-of-this-test"
#: A call of each method, with one question.
CALLS: dict[str, tuple[Any, ...]] = {
    "extract": ({"title": "red steel mug", "brand": "Acme"}, ["color", "material"]),
    "relate": ("steel mug", "tea"),
    "match": ({"title": "mug", "price": 9.5}, "steel mug"),
    "rate_sentiment": ("It leaks.",),
    "recommend": (["mug", "tea"], ["cup", "lamp"]),
    "judge": ("mug", "steel mug"),
    "check_substitute": ("mug", "cup"),
    "rank": ("mug", ["mug", "cup", "lamp"]),
    "check_answerable": ("Does it leak?", ["It leaks.", "Nice."]),
    "answer": ("Does it leak?", ["It leaks."]),
}


@pytest.fixture(scope="module")
def served(xs: Generator) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ECELLM_API_KEY", raising=False)
        with live(service_of(xs), KEY) as made:
            yield made


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)


def likened(answer: ecellm.Answer[Any]) -> tuple[Any, ...]:
    shares = answer.probabilities
    close = None if shares is None else {name: pytest.approx(share, abs=1e-5) for name, share in shares.items()}
    chance = None if answer.probability is None else pytest.approx(answer.probability, abs=1e-5)
    return answer.answer, chance, close, answer.near_tie, answer.text


def test_every_method_answers_as_the_model_does(served: Live, xs: Generator) -> None:
    assert set(CALLS) == {task.verb for task in TASKS.values()}

    async def awaited() -> dict[str, Any]:
        async with ecellm.AsyncClient(served.url, key=KEY) as client:
            return {name: await getattr(client, name)(*given) for name, given in CALLS.items()}

    found = run(awaited())
    with ecellm.Client(served.url, key=KEY) as client:
        for name, given in CALLS.items():
            expected = getattr(Model(xs), name)(*given)
            for answer in (getattr(client, name)(*given), found[name]):
                assert isinstance(answer, ecellm.Answer)
                assert likened(answer) == likened(expected), name
                assert list(answer.probabilities or ()) == list(expected.probabilities or ())


def test_the_methods_of_both_clients_are_made_of_one_definition() -> None:
    assert ast.dump(ast.parse(async_methods.made())) == ast.dump(ast.parse(async_methods.MADE.read_text()))
    for name in ("ask", *CALLS):
        assert inspect.signature(getattr(TaskMethods, name)) == inspect.signature(getattr(AsyncTaskMethods, name))
        assert getattr(ecellm.Client, name) is getattr(Model, name) is getattr(TaskMethods, name)


def test_many_questions_go_in_several_requests_and_come_back_in_order(served: Live, xs: Generator) -> None:
    texts = [f"review {number}" for number in range(3 * MOST_QUESTIONS + 1)]
    with ecellm.Client(served.url, key=KEY) as client:
        answers = client.rate_sentiment(texts)
        frame = client.ask("SA", pd.DataFrame({"text": texts[:20]}))
        assert client.ask("SA", []) == []
    assert [likened(one) for one in answers] == [likened(one) for one in Model(xs).rate_sentiment(texts)]
    assert list(frame.columns) == ["text", "answer", "probability", "probabilities"]
    assert list(frame["answer"]) == [one.answer for one in answers[:20]]

    async def awaited() -> list[ecellm.Answer[str]]:
        async with ecellm.AsyncClient(served.url, key=KEY, concurrency=2) as client:
            return await client.rate_sentiment(texts)

    assert [one.answer for one in run(awaited())] == [one.answer for one in answers]
    sizes = [len(part.bodies) for part in parts([b"x"] * 40)]
    assert sizes == [16, 16, 8] and len(list(parts([b"x" * (MOST_BYTES // 2 + 1)] * 3))) == 3


def test_a_task_of_ones_own_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, BUYING_AGAIN.name, BUYING_AGAIN)
    row = {"text": "It broke."}
    with live(service_of(first_candidate())) as made, ecellm.Client(made.url) as client:
        assert client.ask(BUYING_AGAIN.name, [row]) == Model(first_candidate()).ask(BUYING_AGAIN.name, [row])


def test_records_of_ones_own_fields_are_sent(xs: Generator) -> None:
    fields = ["title", "modelno"]
    tasks = tuple(task if task.form.of_fields is None else task.with_fields(fields) for task in TASKS.values())
    products = ({"title": "mug", "modelno": "M1"}, {"title": "cup", "modelno": "M2"})
    with live(Service("tiny", tasks, lambda: Loaded(xs, tasks))) as made, ecellm.Client(made.url) as client:
        assert likened(client.match(*products, fields)) == likened(Model(xs).match(*products, fields))
        with pytest.raises(ecellm.DataError, match="brand: there is no such field"):
            client.match({"title": "mug", "brand": "Acme"}, "cup")


def test_errors_are_the_services_own_sentences(served: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def error(call: Callable[[ecellm.Client], object], key: str | None = KEY) -> str:
        with ecellm.Client(served.url, key=key, retries=0) as client, pytest.raises(ecellm.EcellmError) as caught:
            call(client)
        return f"{type(caught.value).__name__}: {caught.value}"

    assert "does not accept the key: set ECELLM_API_KEY" in error(lambda one: one.rate_sentiment("a"), "wrong")
    assert error(lambda one: one.rate_sentiment("")) == "DataError: text is empty."
    long = ["fine", "x" * 20_001]
    message = error(lambda one: one.rate_sentiment(long))
    assert message.startswith("DataError: Question 1 is invalid: text: ") and "at most 20000 characters" in message
    assert error(lambda one: one.ask("XX", [{}])).startswith("ConfigError: ")
    monkeypatch.setenv("ECELLM_API_KEY", f"{KEY},another")
    with ecellm.Client(served.url) as client:
        assert client.rate_sentiment("a").answer
        assert KEY not in repr(client) + repr(vars(client)) and served.url in repr(client)
    monkeypatch.setenv("ECELLM_API_KEY", "kéy")
    with pytest.raises(ecellm.ConfigError, match="signs that no header can hold"):
        ecellm.Client(served.url)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "http://u:p@host", "http://host?q", "http://[", "http://h:x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ecellm.ConfigError, match="address"):
        ecellm.Client(url)


def test_a_full_queue_is_waited_for_and_a_service_that_is_gone_is_named(
    served: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counts: Counter[str] = Counter()
    real = served.service.answer

    async def full(items: Any) -> Any:
        counts["requests"] += 1
        if counts["requests"] < 3:
            raise QueueFullError(1)
        return await real(items)

    monkeypatch.setattr(served.service, "answer", full)
    caplog.set_level(logging.DEBUG)
    with ecellm.Client(served.url, key=KEY) as client:
        assert client.rate_sentiment("fine").answer
    assert counts["requests"] == 3 and KEY not in caplog.text
    counts.clear()
    refused = pytest.raises(ecellm.ServerError, match=r"got no answer: the service answered 429: .* in 1 seconds")
    with ecellm.Client(served.url, key=KEY, retries=0) as client, refused:
        client.rate_sentiment("fine")
    with live(service_of(first_candidate())) as made:
        pass
    with ecellm.Client(made.url, retries=1) as client, pytest.raises(ecellm.ServerError, match="connection failed"):
        client.rate_sentiment("fine")

    async def gone() -> None:
        async with ecellm.AsyncClient(made.url, retries=1) as client:
            await client.rate_sentiment("fine")

    with pytest.raises(ecellm.ServerError, match="connection failed"):
        run(gone())


def test_a_slow_answer_ends_at_the_timeout(served: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(items: Any) -> Any:
        await asyncio.sleep(30)

    monkeypatch.setattr(served.service, "answer", slow)
    late = r"no answer within 0\.2 s"
    with (
        ecellm.Client(served.url, key=KEY, timeout=0.2, retries=1) as client,
        pytest.raises(ecellm.ServerError, match=late),
    ):
        client.rate_sentiment("fine")

    async def awaited() -> None:
        async with ecellm.AsyncClient(served.url, key=KEY, timeout=0.2, retries=1) as client:
            await client.rate_sentiment(["fine"] * 40)

    with pytest.raises(ecellm.ServerError, match=late):
        run(awaited())


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (200, b"<html>", ecellm.ServerError, "is no service of ecellm"),
        (302, b"", ecellm.ServerError, "answered 302"),
        (404, b"{}", ecellm.ServerError, "is no service of ecellm, or its model does not answer this task"),
    ],
)
def test_what_is_no_service_is_named(status: int, body: bytes, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        read(status, {}, body, "http://host")


def test_a_key_is_none_where_the_variable_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECELLM_API_KEY", " ")
    assert checked_key(None) is None and checked_key(" a ") == "a"
