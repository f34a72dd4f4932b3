"""Clients of `ecellm serve`: the methods of a model, answered by a service.

import ecellm

with ecellm.Client("http://localhost:8000") as client:
    client.match("clickart 950 000", "clickart 950000 dvd").answer   # "yes"

async with ecellm.AsyncClient("http://localhost:8000") as client:
    (await client.rate_sentiment("Worth every cent.")).answer        # "very positive"
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx2
from tenacity import AsyncRetrying

from ecellm.inference.async_task_methods import AsyncTaskMethods
from ecellm.inference.method_arguments import Answers
from ecellm.inference.model import Model, answers_of, questions_of, requests_of
from ecellm.models.base import Failure, Reply, Request
from ecellm.models.remote.client import Server
from ecellm.models.remote.service import ServiceGenerator, question_body
from ecellm.models.remote.service_form import (
    InvalidError,
    Part,
    RetryError,
    after_error,
    checked_key,
    checked_url,
    headers,
    parts,
    read,
    replies_in,
    retrying,
    task_of,
)
from ecellm.prompts import Prompt
from ecellm.tasks import Task


class Client(Model):
    """A client of a service: the methods of `Model`, with the same answers.

    `key` stands instead of the environment's ECELLM_API_KEY. Many questions are sent in requests of a few, of which
    `concurrency` are under way at a time. A request may take `timeout` seconds. After 429, 503, another error of the
    server or a broken connection it is sent again, up to `retries` times, after growing waits, or as long as the
    service asks for. Connections are kept until `close`, or the end of a `with` block.

    Raises ConfigError for an address or a key that cannot be used. Methods raise DataError with the service's own
    sentence, which names the field, for a question that it calls invalid, and ServerError where it gave no answer.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = 60.0, retries: int = 6, concurrency: int = 8
    ):
        self._service = ServiceGenerator(url, Server(None, concurrency, timeout, retries), key, pinned=False)
        super().__init__(self._service)

    def __repr__(self) -> str:
        return f"Client({self._service.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._service.close()


class AsyncClient(AsyncTaskMethods):
    """A client of a service for event loops: the methods of `Client`, to be awaited, with the same arguments, answers
    and errors. Use it in an `async with` block, or end it with `aclose`."""

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = 60.0, retries: int = 6, concurrency: int = 8
    ):
        self._url, self._server = checked_url(url), Server(None, concurrency, timeout, retries)
        self._connection = httpx2.AsyncClient(base_url=self._url, headers=headers(checked_key(key)), timeout=timeout)
        self._places = asyncio.Semaphore(concurrency)

    def __repr__(self) -> str:
        return f"AsyncClient({self._url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._connection.aclose()

    async def _answers(self, chosen: Task, rows: Sequence[Mapping[str, object]]) -> Answers:
        made = questions_of(chosen, rows)
        requests = requests_of(made, [Prompt("", []) for _ in made])
        sent = parts([question_body(request) for request in requests])
        tasks = [asyncio.ensure_future(self._answer(part, [requests[n] for n in part.places])) for part in sent]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return answers_of(chosen, made, [pair for pairs in found for pair in pairs])

    async def _answer(self, part: Part, requests: Sequence[Request]) -> list[tuple[int, Reply | Failure]]:
        """Return the answers to the questions of one request, as `ServiceGenerator` does."""
        path = task_of(requests[0]).address
        found: list[tuple[int, Reply | Failure]] = []
        while part.bodies:
            try:
                replies = await self._retried(part, partial(self._replies, path, part, requests))
            except (RetryError, InvalidError) as error:
                failures, part, requests = after_error(error, part, requests)
                found += failures
            else:
                return found + list(zip(part.places, replies, strict=True))
        return found

    async def _retried(self, part: Part, call: Callable[[], Awaitable[list[Reply]]]) -> list[Reply]:
        return await AsyncRetrying(**retrying(self._server.retries, part.key, lambda: None))(call)

    async def _replies(self, path: str, part: Part, requests: Sequence[Request]) -> list[Reply]:
        return replies_in(await self._fetched(path, part.content), requests)

    async def _fetched(self, path: str, content: bytes) -> Any:
        """Return the JSON of a response, read within the timeout; raises as `read`."""
        try:
            async with self._places, asyncio.timeout(self._server.timeout):
                response = await self._connection.post(path, content=content)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise RetryError(f"no answer within {self._server.timeout:g} s") from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise RetryError(f"the connection failed: {error}") from error
        return read(response.status_code, response.headers, response.content, self._url)
