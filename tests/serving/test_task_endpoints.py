"""The tasks' endpoints: their form, their answers, and that a new task has one."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import httpx2
import pytest

from ecellm.errors import ConfigError
from ecellm.inference.model import Model
from ecellm.models.base import Failure, Generator, Reply, Request
from ecellm.serving.app import create_app
from ecellm.serving.metrics import Metrics
from ecellm.serving.schemas import example_body
from ecellm.serving.service import Service
from ecellm.tasks import TASKS
from own_tasks import buying_again, headline
from repository import REPOSITORY
from scripted import ScriptedGenerator
from served import asking, first_candidate, gathered, run, service_of


def test_match_takes_two_products_and_answers_with_probabilities(xs: Generator) -> None:
    async def ask() -> None:
        async with asking(xs) as client:
            body = {"product_1": "clickart 950 000", "product_2": {"title": "clickart 950000", "price": 5.5}}
            one = await client.post("/v1/match", json=body)
            assert one.status_code == 200, one.text
            assert one.json()["answer"] in ("yes", "no")
            assert sum(one.json()["probabilities"].values()) == pytest.approx(1)
            assert one.json()["probability"] == one.json()["probabilities"][one.json()["answer"]]
            several = await client.post("/v1/match", json={"questions": [body, body]})
            assert [answer["answer"] for answer in several.json()["answers"]] == [one.json()["answer"]] * 2

    run(ask())


@pytest.mark.parametrize("name", TASKS)
def test_every_task_answers_its_examples_as_the_python_api_does(xs: Generator, name: str) -> None:
    task = TASKS[name]

    async def ask() -> list[dict[str, Any]]:
        async with asking(xs) as client:
            bodies = [example_body(task, place) for place in range(len(task.sample_rows))]
            reply = await client.post(task.address, json={"questions": bodies})
            assert reply.status_code == 200, reply.text
            return list(reply.json()["answers"])

    expected = Model(xs).ask(name, task.sample_rows)
    for found, known in zip(run(ask()), expected, strict=True):
        assert (found["answer"], found["text"]) == (known.answer, known.text)
        assert found["probability"] == pytest.approx(known.probability, abs=1e-5)
        assert found["probabilities"] == pytest.approx(known.probabilities, abs=1e-5)


def test_answers_are_the_same_whatever_stands_in_the_batch(xs: Generator) -> None:
    """Random questions of random tasks at once, in any order, against one at a time."""
    draw = random.Random(5)
    words = ["steel", "mug", "blue", "lamp", "a", "usb", "cable", "for", "home", "12", "red", "soft"]

    def text(most: int = 30) -> str:
        return " ".join(draw.choices(words, k=draw.randint(1, most)))

    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "/v1/match": lambda: {"product_1": text(), "product_2": {"title": text(), "description": text(60)}},
        "/v1/sentiment": lambda: {"text": text(90)},
        "/v1/recommend": lambda: {"history": [text()], "options": [text(8) + str(place) for place in range(5)]},
        "/v1/judge": lambda: {"query": text(4), "title": text()},
        "/v1/rank": lambda: {"query": text(4), "titles": [text(), text(), text()]},
        "/v1/extract": lambda: {"title": text(), "attributes": ["colour", "size"]},
    }
    requests = [(path, makers[path]()) for path in draw.choices(list(makers), k=40)]

    async def ask() -> None:
        async with asking(xs) as client:
            alone = [(await client.post(path, json=body)).json() for path, body in requests]
            shuffled = draw.sample(range(len(requests)), len(requests))
            replies = await gathered(
                *(client.post(requests[place][0], json=requests[place][1]) for place in shuffled)
            )
            for place, reply in zip(shuffled, replies, strict=True):
                found, known = reply.json(), alone[place]
                assert found["probability"] == pytest.approx(known["probability"], abs=1e-5)
                if not known["near_tie"]:
                    assert found["answer"] == known["answer"]

    run(ask())


@pytest.mark.parametrize(
    ("path", "body", "pointer", "detail"),
    [
        ("/v1/match", {"product_1": "a"}, "#/product_2", "product_2: is missing."),
        ("/v1/match", {"product_1": "a", "product_2": {"title": " "}}, "#/product_2/title", "title: is empty."),
        ("/v1/match", {"product_1": 5, "product_2": "b"}, "#/product_1", "product_1: should be an object."),
        ("/v1/match", {"product_1": {"title": 5}, "product_2": "b"}, "#/product_1/title", "should be a text"),
        ("/v1/match", {"product_1": {"title": "a", "price": [1]}, "product_2": "b"}, "#/product_1/price", "a text"),
        ("/v1/match", {"product_1": {"title": "a", "price": True}, "product_2": "b"}, "#/product_1/price", "a text"),
        ("/v1/sentiment", {"text": " "}, "#/text", "text: is empty."),
        ("/v1/judge", {"query": "漢字", "title": "a"}, "#/query", "letters beyond ASCII"),
        ("/v1/sentiment", {"text": "a", "extra~/": 1}, "#/extra~0~1", "there is no such field"),
        ("/v1/sentiment", {"text": "a" * 20_001}, "#/text", "at most 20000 characters"),
        ("/v1/sentiment", {"questions": []}, "#/questions", "at least 1 item"),
        ("/v1/sentiment", {"questions": [{"text": "a"}, {"text": None}]}, "#/questions/1/text", "should be a text"),
        ("/v1/rank", {"query": "a", "titles": ["b"]}, "#/titles", "at least 2 items"),
        ("/v1/rank", {"query": "a", "titles": ["b"] * 5}, "#/titles", "at most 4 items"),
        ("/v1/rank", {"query": "a", "titles": ["b", " "]}, "#/titles/1", "is empty"),
        ("/v1/relate", {"title_1": "a", "title_2": "a"}, "#/title_1", "are the same"),
        ("/v1/sentiment", [], "#", "The body: should be an object."),
        ("/v1/sentiment", "text", "#", "The body: should be an object."),
    ],
)
def test_a_problem_names_its_field(path: str, body: Any, pointer: str, detail: str) -> None:
    async def ask() -> httpx2.Response:
        async with asking() as client:
            return await client.post(path, json=body)

    reply = run(ask())
    assert reply.status_code == 422 and reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert (problem["status"], problem["type"]) == (422, "urn:ecellm:problem:invalid-request")
    assert problem["errors"][0]["pointer"] == pointer
    assert detail in problem["errors"][0]["detail"]


def test_a_title_may_begin_as_json_does() -> None:
    async def ask() -> int:
        async with asking() as client:
            return (await client.post("/v1/match", json={"product_1": "{a", "product_2": "b"})).status_code

    assert run(ask()) == 200


def test_half_of_a_surrogate_pair_in_an_answer_is_no_error() -> None:
    completion = json.dumps([{"attribute": "length", "value": "5\ud800", "source": "product title"}])

    async def ask() -> httpx2.Response:
        async with asking(ScriptedGenerator(lambda question: completion)) as client:
            return await client.post("/v1/extract", json={"title": "5 cm", "attributes": ["Length"]})

    assert run(ask()).json()["answer"] == [{"attribute": "Length", "value": "5?", "source": "title"}]


class Odd:
    """Says yes; a title with "fail" has no answer, one with "crash" breaks its whole batch."""

    def __init__(self) -> None:
        self.inner = first_candidate()
        self.prompts = self.inner.prompts

    def reply(self, requests: list[Request]) -> list[Reply | Failure]:
        if any("crash" in request.prompt.text for request in requests):
            raise RuntimeError("a text of a client")
        return [
            Failure("out of luck") if "fail" in request.prompt.text else reply
            for request, reply in zip(requests, self.inner.reply(requests), strict=True)
        ]


def test_a_bad_question_harms_no_other_in_its_batch(caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> list[httpx2.Response]:
        async with asking(Odd()) as client:
            texts = ["good", "crash", "fine", "fail", "well"]
            return await gathered(*(client.post("/v1/sentiment", json={"text": text}) for text in texts))

    replies = run(ask())
    assert [reply.status_code for reply in replies] == [200, 500, 200, 502, 200]
    assert "out of luck" in replies[3].json()["detail"]
    assert replies[1].headers["content-type"] == "application/problem+json"
    assert "a text of a client" not in replies[1].text


@pytest.fixture
def own_tasks() -> Iterator[None]:
    with patch.dict(TASKS, {"RH": headline.TASK, "BA": buying_again.TASK}):
        yield


def test_of_many_faults_some_are_listed_and_all_are_counted() -> None:
    async def ask() -> httpx2.Response:
        async with asking() as client:
            return await client.post("/v1/sentiment", json={"questions": [{"text": " "}] * 300})

    problem = run(ask()).json()
    assert len(problem["errors"]) == 20 and "(299 more are invalid.)" in problem["detail"]


def test_two_tasks_at_one_address_are_refused() -> None:
    service = service_of(first_candidate())
    service.tasks = (TASKS["PM"], replace(TASKS["SA"], endpoint="match"))
    with pytest.raises(ConfigError, match="/v1/match"):
        create_app(service)


@pytest.mark.usefixtures("own_tasks")
def test_a_task_of_ones_own_has_an_endpoint_at_once() -> None:
    async def ask() -> tuple[Any, Any, Any]:
        async with asking() as client:
            again = await client.post("/v1/buying-again", json={"text": "Best mug ever."})
            head = await client.post("/v1/review-headline", json={"text": "Best mug ever."})
            return again.json(), head.json(), (await client.get("/openapi.json")).json()

    again, head, described = run(ask())
    assert again["answer"] == "yes, again" and head["answer"] == "hello"
    assert {"/v1/buying-again", "/v1/review-headline"} <= described["paths"].keys()


def test_records_of_fields_of_ones_own() -> None:
    tasks = (TASKS["PM"].with_fields(["title", "modelno"]),)
    served: Service = service_of(first_candidate())
    served.tasks = tasks
    loaded = served.load()
    served.load = lambda: type(loaded)(loaded.generator, tasks)

    async def ask() -> tuple[int, int]:
        async with asking(service=served) as client:
            body = {"product_1": {"title": "a", "modelno": "x1"}, "product_2": "b"}
            good = await client.post("/v1/match", json=body)
            body["product_1"] = {"title": "a", "brand": "x"}
            return good.status_code, (await client.post("/v1/match", json=body)).status_code

    assert run(ask()) == (200, 422)


def test_the_guide_names_every_task_and_figure() -> None:
    guide = (REPOSITORY / "docs" / "serving.md").read_text()
    assert all(f"| {task.name} | `{task.address}` |" in guide for task in TASKS.values())
    samples = [metric.name for metric in Metrics().registry.collect()]
    assert samples and all(f"`{name}" in guide for name in samples)


def test_the_description_names_every_field_limit_and_example() -> None:
    async def ask() -> tuple[dict[str, Any], str]:
        async with asking() as client:
            return (await client.get("/openapi.json")).json(), (await client.get("/docs")).text

    described, page = run(ask())
    schemas = described["components"]["schemas"]
    for task in TASKS.values():
        operation = described["paths"][task.address]["post"]
        assert task.seed_instruction in operation["description"]
        question = schemas[task.title.replace("_", "") + "Question"]
        assert len(question["examples"]) == len(task.sample_rows)
        flat = json.dumps([schemas[name] for name in schemas if name.startswith(task.title.replace("_", ""))])
        assert all(column.says[1:] in flat for column in task.form.columns)
        assert f"POST {task.address}" in page
    assert schemas["SentimentAnalysisQuestion"]["properties"]["text"]["maxLength"] == 20_000
    assert schemas["SentimentAnalysisQuestions"]["properties"]["questions"]["maxItems"] == 1000
    assert "https://" not in page and "http://" not in page and "<script" not in page
