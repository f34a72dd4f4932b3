"""A model's life behind a service: loading and warming it, answering in batches, reloading, and draining."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ecellm.errors import ConfigError
from ecellm.inference.row_questions import Answer, row_question
from ecellm.models.base import Chat, ChatReply, Generator
from ecellm.serving.batching import Batcher, ClosedError, Limits
from ecellm.serving.metrics import Metrics
from ecellm.serving.worker import Found, Item, ModelWorker, TaskQuestion
from ecellm.tasks import Task

logger = logging.getLogger(__name__)

State = Literal["starting", "ready", "draining", "failed"]
#: Seconds that a service which has nothing left to do still refuses what arrives, before it stops listening.
LINGER = 0.2


@dataclass(frozen=True)
class Loaded:
    """A model with the tasks that it answers."""

    generator: Generator
    tasks: tuple[Task, ...]
    identity: Mapping[str, str] = field(default_factory=dict)
    """What its answers depend on: the hash of its weights, engine, prompt and decoding."""


@dataclass
class Service:
    """One model and its queue."""

    name: str
    """Of the model, as clients see it."""
    tasks: tuple[Task, ...]
    """Those that have an endpoint."""
    load: Callable[[], Loaded]
    """Loads the model; called in a thread, at the start and for each reload."""
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    state: State = "starting"
    under_way: int = 0
    """Requests that are being answered."""
    began: int = field(default_factory=lambda: int(time.time()))
    batcher: "Batcher[Item, Found] | None" = None
    worker: ModelWorker | None = None
    reload_all: Callable[[], Awaitable[None]] | None = None
    """Has every worker process load the model anew, this one among them; None where there is one process."""

    def __post_init__(self) -> None:
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Load and warm the model; raises what loading raises."""
        try:
            self.worker = await asyncio.to_thread(self._warm)
        except BaseException:
            self.state = "failed"
            raise
        self.batcher = Batcher(self.worker, self.limits, self.metrics)
        if self.state == "starting":
            self.state = "ready"
            self.metrics.ready.set(1)
            logger.info("ready", extra={"model": self.name})

    @property
    def identity(self) -> Mapping[str, str]:
        """What the answers of the present model depend on."""
        return {} if self.worker is None else self.worker.identity

    @property
    def is_ready(self) -> bool:
        """Whether questions are answered."""
        return self.state == "ready" and self.batcher is not None and self.batcher.alive

    async def answer(self, items: Sequence[TaskQuestion]) -> list[Answer[object] | Exception]:
        """Answer questions, in order; raises as `Batcher.answer`."""
        found = await self._answer(items)
        return [one for one in found if not isinstance(one, ChatReply)]

    async def chat(self, chat: Chat) -> ChatReply:
        """Go on with a chat; raises as `answer`, and what kept it from being answered."""
        (found,) = await self._answer([chat])
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, ChatReply)
        self.metrics.completion_tokens.inc(found.usage.written)
        return found

    async def _answer(self, items: Sequence[Item]) -> list[Found | Exception]:
        if self.batcher is None:
            raise ClosedError("the model is not loaded")
        return await self.batcher.answer(items)

    async def reload(self) -> None:
        """Load the model anew and ask it from then on; what was being answered is finished by the old one.

        Both are in memory for a while. Raises EcellmError where it cannot be loaded or answers other tasks, and the
        old one stays.
        """
        async with self._reloading:
            try:
                worker = await asyncio.to_thread(self._warm)
            except Exception:
                self.metrics.reloads.labels("failed").inc()
                raise
            if self.batcher is None:
                raise ClosedError("the model is not loaded")
            self.worker = worker
            self.batcher.replace(worker)
            self.metrics.reloads.labels("done").inc()
            logger.info("reloaded", extra={"model": self.name})

    async def reload_everywhere(self) -> None:
        """Load the model anew in every process; raises as `reload`."""
        await (self.reload if self.reload_all is None else self.reload_all)()

    async def drain(self, grace: float) -> None:
        """Refuse new requests, finish those under way within `grace` seconds, and fail the rest."""
        self.state = "draining"
        self.metrics.ready.set(0)
        logger.info("draining", extra={"model": self.name})
        until = time.monotonic() + grace
        while self.under_way and time.monotonic() < until:
            await asyncio.sleep(0.02)
        if not self.under_way:
            await asyncio.sleep(min(LINGER, grace))
        if self.batcher is not None:
            await asyncio.to_thread(self.batcher.close, max(1.0, until - time.monotonic()))

    def _warm(self) -> ModelWorker:
        """Load the model and have it answer an example of each task, so that the first question waits for nothing."""
        loaded = self.load()
        if {task.name for task in loaded.tasks} != {task.name for task in self.tasks}:
            raise ConfigError(
                f"{self.name} answers other tasks now ({', '.join(task.name for task in loaded.tasks)}): start the "
                "service again."
            )
        worker = ModelWorker(loaded.generator, self.metrics.prompt_tokens.inc, loaded.identity)
        for task in self.tasks:
            questions = [TaskQuestion(task, row_question(task, row, "warm")) for row in task.sample_rows]
            for ready in worker.prepare(questions):
                if isinstance(ready, Exception):
                    raise ready
                (found,) = worker.answer([ready.value])
                if isinstance(found, Exception):
                    raise found
        return worker
