"""`/v1/rerank` in the form of Cohere and Jina: documents in the order in which they serve a query.

A model that judges single query-product pairs scores each document alone, by the probability of the best label: any
number of documents, with scores that can be compared across requests. One that only orders lists sorts the documents
by merging, two at a time, and a score then says no more than the place.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from ecellm.serving.problems import ProblemError
from ecellm.serving.schemas import OBJECT, TEXT, NeededText, choices, text_or_object
from ecellm.serving.service import Service
from ecellm.serving.task_endpoints import ask
from ecellm.tasks import TASKS, Task

#: The most documents that are sorted two at a time.
MOST_SORTED = 200


class Document(BaseModel):
    """A document; its other fields are not read."""

    model_config = ConfigDict(extra="ignore")

    text: Annotated[NeededText, Field(description="The text that is judged, such as a product's title.")]


class RerankRequest(BaseModel):
    """A query and the documents to put in order."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"query": "usb c hub", "documents": ["Leather wallet", "USB C hub with seven ports"], "top_n": 1}
            ]
        },
    )

    model: Annotated[str | None, Field(max_length=200, description="Not read: the service has one model.")] = None
    query: Annotated[NeededText, Field(description="A shopper's query.")]
    documents: Annotated[
        list[
            Annotated[
                Annotated[NeededText, Tag(TEXT)] | Annotated[Document, Tag(OBJECT)], Discriminator(text_or_object)
            ]
        ],
        Field(min_length=1, description="Texts, or objects with a `text`; any number of them."),
    ]
    top_n: Annotated[int | None, Field(ge=1, description="How many results are wanted; null: all.")] = None
    return_documents: Annotated[bool, Field(description="Whether each result has its document.")] = False
    max_tokens_per_doc: Annotated[
        int | None, Field(ge=1, description="Not read: a document is truncated to what the model reads.")
    ] = None
    max_chunks_per_doc: Annotated[int | None, Field(ge=1, description="Not read, for the same reason.")] = None


class RerankResult(BaseModel):
    """A document's place."""

    index: Annotated[int, Field(description="Of the document in the request, from 0.")]
    relevance_score: Annotated[float, Field(ge=0, le=1, description="The higher, the better it serves the query.")]
    document: Annotated[Document | None, Field(description="The document, where the request wants it.")] = None


class RerankResponse(BaseModel):
    """The documents, best first."""

    id: str
    model: str
    results: list[RerankResult]


@dataclass(frozen=True)
class _Columns:
    """The tasks that a score comes from, and the columns of query and document."""

    task: Task
    query: str
    document: str


Scores = Callable[[Request, str, Sequence[str]], Awaitable[list[float]]]


def rerank_router(service: Service) -> APIRouter:
    """Return the endpoint, where the model answers a task that it can go by."""
    router = APIRouter(tags=["conventions"])
    found = _scores(service)
    if found is None:
        return router
    scores, how = found

    @router.post(
        "/v1/rerank",
        summary="Documents in the order in which they serve a query",
        description=f"In the form of Cohere and Jina. {how}",
        response_model_exclude_none=True,
    )
    async def rerank(request: Request, body: RerankRequest) -> RerankResponse:
        texts = [one if isinstance(one, str) else one.text for one in body.documents]
        request.state.questions = len(texts)
        scored = await scores(request, body.query, texts)
        order = sorted(range(len(texts)), key=lambda place: (-scored[place], place))[: body.top_n]
        results = [
            RerankResult(
                index=place,
                relevance_score=scored[place],
                document=Document(text=texts[place]) if body.return_documents else None,
            )
            for place in order
        ]
        return RerankResponse(id=uuid.uuid4().hex, model=service.name, results=results)

    return router


def _scores(service: Service) -> tuple[Scores, str] | None:
    """Return how documents are scored and what to say of it, by a task that judges pairs, or else by one that orders
    lists; None where the model answers neither."""
    own = {task.name: task for task in service.tasks}
    rankings = [task for task in TASKS.values() if task.answer.kind == "ranking" and task.judgements]
    for ranking in rankings:
        judging = own.get(ranking.judgements)
        labels = [] if judging is None else choices(judging)
        if judging is not None and labels:
            gains = list(ranking.answer.gains.values())
            best = labels[gains.index(max(gains))]
            query, document = _columns(judging, ranking)
            described = (
                f"Each document is judged alone, and its score is the probability of {best!r} by {judging.name}."
            )
            return _judged(service, _Columns(judging, query, document), best), described
    for ranking in rankings:
        if ranking.name in own:
            query = next(column.name for column in ranking.form.columns if not column.many)
            documents = next(column.name for column in ranking.form.columns if column.many)
            described = (
                f"{ranking.name} sorts the documents two at a time, {MOST_SORTED} at most; a score says nothing but "
                "the place."
            )
            return _sorted_by(service, _Columns(own[ranking.name], query, documents)), described
    return None


def _columns(judging: Task, ranking: Task) -> tuple[str, str]:
    """Return the columns of query and document: the former is the one that both tasks have."""
    shared = {column.name for column in ranking.form.columns}
    names = [column.name for column in judging.form.columns]
    return next(name for name in names if name in shared), next(name for name in names if name not in shared)


def _judged(service: Service, by: _Columns, best: str) -> Scores:
    async def scores(request: Request, query: str, texts: Sequence[str]) -> list[float]:
        def place(number: int, column: str) -> str:
            return "#/query" if column == by.query else f"#/documents/{number}"

        rows = [{by.query: query, by.document: text} for text in texts]
        answers = await ask(service, by.task, rows, place)
        found = [answer.probabilities and answer.probabilities.get(best) for answer in answers]
        if any(score is None for score in found):
            raise ProblemError("unsupported-by-model", f"{service.name} gives no probabilities, so it cannot rerank.")
        return [score or 0.0 for score in found]

    return scores


def _sorted_by(service: Service, by: _Columns) -> Scores:
    async def scores(request: Request, query: str, texts: Sequence[str]) -> list[float]:
        if len(texts) > MOST_SORTED:
            raise ProblemError("too-large", f"{len(texts)} documents are too many: {MOST_SORTED} can be sorted.")

        async def second_is_better(first: int, second: int) -> bool:
            def place(number: int, column: str) -> str:
                return "#/query" if column == by.query else "#/documents"

            row = {by.query: query, by.document: [texts[first], texts[second]]}
            (answer,) = await ask(service, by.task, [row], place)
            return isinstance(answer.answer, list) and answer.answer[0] != texts[first]

        order = await merge_sorted(list(range(len(texts))), second_is_better)
        return [(len(texts) - order.index(place)) / len(texts) for place in range(len(texts))]

    return scores


async def merge_sorted(places: Sequence[int], second_is_better: Callable[[int, int], Awaitable[bool]]) -> list[int]:
    """Return places in order, best first, by comparing two at a time; both halves are sorted at once."""
    if len(places) < 2:
        return list(places)
    half = len(places) // 2
    first, second = await asyncio.gather(
        merge_sorted(places[:half], second_is_better), merge_sorted(places[half:], second_is_better)
    )
    merged: list[int] = []
    while first and second:
        merged.append((second if await second_is_better(first[0], second[0]) else first).pop(0))
    return [*merged, *first, *second]
