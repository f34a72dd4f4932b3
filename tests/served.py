"""Services for tests, reached through ASGI without a network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import httpx2

from ecellm.models.base import Generator
from ecellm.serving.app import create_app
from ecellm.serving.batching import Limits
from ecellm.serving.guard import Allowed
from ecellm.serving.service import Loaded, Service
from ecellm.tasks import TASKS
from scripted import ScriptedGenerator

T = TypeVar("T")
Asking = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


def first_candidate() -> ScriptedGenerator:
    """A model that says the first of the candidates, or hello."""
    return ScriptedGenerator(
        lambda question: (TASKS[question.example.task].answer.candidates(question.example) or ("hello",))[0]
    )


def service_of(generator: Generator, limits: Limits | None = None) -> Service:
    """The service of a model that is there already."""
    tasks = tuple(TASKS.values())
    return Service("tiny", tasks, lambda: Loaded(generator, tasks), limits or Limits(wait=0.001))


@asynccontextmanager
async def asking(
    generator: Generator | None = None, service: Service | None = None, allowed: Allowed | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """Start a service, of a model or one that is given, and give a client of it for as long as the block lasts."""
    served = service or service_of(generator or first_candidate())
    await served.start()
    try:
        transport = httpx2.ASGITransport(create_app(served, allowed))
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as made:
            yield made
    finally:
        await served.drain(0)


async def gathered(*requests: Awaitable[httpx2.Response]) -> list[httpx2.Response]:
    """Send requests at once."""
    return list(await asyncio.gather(*requests))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, for a minute at most."""

    async def timed() -> T:
        async with asyncio.timeout(60):
            return await coroutine

    return asyncio.run(timed())
