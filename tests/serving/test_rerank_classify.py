"""Reranking and classifying: the forms that clients know, and by which task the model goes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.inference.model import Model
from ecellm.models.base import Generator, Reply, Request
from ecellm.serving.batching import Limits
from ecellm.serving.rerank import merge_sorted
from ecellm.serving.service import Loaded, Service
from ecellm.tasks import TASKS
from served import asking, first_candidate, run, service_of

DOCUMENTS: list[Any] = ["usb c hub", {"text": "usb cable"}, "usb c hub", "leather wallet", {"text": "desk lamp"}]
TEXTS = [one if isinstance(one, str) else one["text"] for one in DOCUMENTS]


def post(path: str, body: object, **options: Any) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with asking(**options) as client:
            return await client.post(path, json=body)

    return run(ask())


def test_documents_are_scored_by_the_probability_of_exact(xs: Generator) -> None:
    body = {"model": "rerank-v3.5", "query": "usb c hub", "documents": DOCUMENTS}
    reply = post("/v1/rerank", body, generator=xs)
    assert reply.status_code == 200, reply.text
    results = reply.json()["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2, 3, 4]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True) and "document" not in results[0]
    known = Model(xs).judge("usb c hub", TEXTS)
    for result in results:
        probabilities = known[result["index"]].probabilities
        assert probabilities is not None
        assert result["relevance_score"] == pytest.approx(probabilities["exact"], abs=1e-5)


def test_top_n_and_the_documents_themselves(xs: Generator) -> None:
    body = {"query": "usb c hub", "documents": DOCUMENTS, "top_n": 2, "return_documents": True}
    results = post("/v1/rerank", body, generator=xs).json()["results"]
    assert len(results) == 2
    assert all(result["document"] == {"text": TEXTS[result["index"]]} for result in results)


def test_any_number_of_documents_goes_through_a_short_queue(xs: Generator) -> None:
    service = service_of(xs, Limits(queue=20, wait=0))
    documents = [f"mug number {number}" for number in range(150)]
    results = post("/v1/rerank", {"query": "mug", "documents": documents}, service=service).json()["results"]
    assert sorted(result["index"] for result in results) == list(range(150))


class ByLength:
    """Ranks titles by their length, the shortest first; answers nothing else."""

    def __init__(self) -> None:
        self.prompts = first_candidate().prompts

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        replies = []
        for request in requests:
            titles = [pair.right for pair in TASKS["QPR"].compared(request.question.example)]
            order = sorted(range(len(titles)), key=lambda place: len(titles[place]))
            replies.append(Reply(",".join("ABCD"[place] for place in order)))
        return replies


def served_of(generator: Generator, *names: str) -> Service:
    tasks = tuple(TASKS[name] for name in names)
    return Service("tiny", tasks, lambda: Loaded(generator, tasks), Limits(wait=0.001))


def test_a_model_that_only_ranks_lists_sorts_by_them() -> None:
    documents = ["a" * length for length in (5, 3, 9, 1, 7)]
    reply = post("/v1/rerank", {"query": "a", "documents": documents}, service=served_of(ByLength(), "QPR"))
    results = reply.json()["results"]
    assert [result["index"] for result in results] == [3, 1, 0, 4, 2]
    assert [result["relevance_score"] for result in results] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    many = {"query": "a", "documents": ["a"] * 201}
    assert post("/v1/rerank", many, service=served_of(ByLength(), "QPR")).status_code == 413


def test_a_model_that_judges_no_product_has_no_such_address() -> None:
    body = {"query": "a", "documents": ["b"]}
    assert post("/v1/rerank", body, service=served_of(first_candidate(), "SA")).status_code == 404
    assert post("/v1/classify", {"input": ["b"]}, service=served_of(first_candidate(), "MPC")).status_code == 404


def test_a_model_without_probabilities_refuses_to_score() -> None:
    reply = post("/v1/rerank", {"query": "a", "documents": ["b"]})
    assert reply.status_code == 400 and "no probabilities" in reply.json()["detail"]


@given(st.lists(st.integers(0, 30), max_size=40))
def test_sorting_by_two_at_a_time_is_sorting(values: list[int]) -> None:
    async def second_is_better(first: int, second: int) -> bool:
        await asyncio.sleep(0)
        return values[second] < values[first]

    places = run(merge_sorted(list(range(len(values))), second_is_better))
    assert places == sorted(range(len(values)), key=lambda place: values[place])


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/rerank", {"query": "a", "documents": []}, "#/documents"),
        ("/v1/rerank", {"query": " ", "documents": ["b"]}, "#/query"),
        ("/v1/rerank", {"query": "a", "documents": ["b", {"text": "ü" * 3}, "漢字"]}, "#/documents/2"),
        ("/v1/rerank", {"query": "a", "documents": ["b", {"title": "b"}]}, "#/documents/1/text"),
        ("/v1/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, "#/top_n"),
        ("/v1/rerank", {"query": "a", "documents": ["b"], "rank_fields": ["x"]}, "#/rank_fields"),
        ("/v1/classify", {"input": ["a", " "]}, "#/input/1"),
        ("/v1/classify", {"input": ["a"], "labels": ["spam", "ham"]}, "#/labels"),
        ("/v1/classify", {"input": ["a"], "task": "PM"}, "#/task"),
    ],
)
def test_a_problem_names_its_field(path: str, body: object, pointer: str) -> None:
    reply = post(path, body)
    assert reply.status_code == 422
    assert pointer in [error["pointer"] for error in reply.json()["errors"]], reply.text


def test_texts_are_classified_as_the_task_does(xs: Generator) -> None:
    texts = ["It leaks.", "Best mug ever."]
    labels = ["very positive", "positive", "neutral", "negative", "very negative"]
    body = {"input": [texts[0], {"text": texts[1]}], "labels": labels}
    found = post("/v1/classify", body, generator=xs).json()
    assert found["task"] == "SA" and found["model"] == "tiny"
    for number, (one, known) in enumerate(zip(found["data"], Model(xs).rate_sentiment(texts), strict=True)):
        assert (one["index"], one["object"], one["prediction"]) == (number, "classification", known.answer)
        assert one["score"] == pytest.approx(known.probability, abs=1e-5)
        assert {label["label"] for label in one["predictions"]} == set(labels)
        assert one["predictions"][0]["label"] == known.answer
