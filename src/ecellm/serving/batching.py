"""Dynamic batching: items that wait together are answered together, by one thread, away from the event loop.

The batcher knows nothing of HTTP, nor of models: a `Worker` prepares items and answers batches of them. Items are
taken in the order of their arrival, within a budget of rows and tokens. An item that fails harms no other: a batch
that raises is halved until the item stands alone. One whose future is cancelled leaves the queue.
"""

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any, Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Found = TypeVar("Found")
Taken = TypeVar("Taken", contravariant=True)
Given = TypeVar("Given", covariant=True)


class QueueFullError(Exception):
    """The queue has no room; `retry_after` is in how many seconds it probably has."""

    def __init__(self, retry_after: float):
        super().__init__("the queue is full")
        self.retry_after = retry_after


class ClosedError(Exception):
    """The batcher answers no more, because it was closed or its thread failed."""


@dataclass(frozen=True)
class Ready:
    """An item that is prepared."""

    value: Any
    """What the worker answers."""
    tokens: int
    """Its share of a batch's budget."""
    kind: Hashable = None
    """Only items of one kind are answered together."""


class Worker(Protocol[Taken, Given]):
    """What answers items; it is called by one thread at a time."""

    def prepare(self, items: Sequence[Taken]) -> Sequence[Ready | Exception]:
        """Return each item in the form that is answered, or why it cannot be."""

    def answer(self, batch: Sequence[Any]) -> Sequence[Given | Exception]:
        """Answer the values of prepared items of one kind, in order."""


@dataclass(frozen=True)
class Limits:
    """How much waits, and how much is answered together."""

    queue: int = 1024
    """Items that may wait."""
    rows: int = 64
    """Items in a batch."""
    tokens: int = 32_768
    """Tokens in a batch, unless one item alone has more."""
    wait: float = 0.003
    """Seconds that the first item waits for others."""

    @property
    def part(self) -> int:
        """The most items of one request that wait at a time."""
        return max(1, min(256, self.queue // 2))


class Observer(Protocol):
    """Takes note of what the thread does."""

    def batch(self, rows: int, tokens: int, seconds: float) -> None:
        """Record a batch that was answered."""

    def waiting(self, items: int) -> None:
        """Record how many items wait."""


@dataclass(eq=False)
class _Job(Generic[Item, Found]):
    item: Item
    future: "asyncio.Future[Found]"
    loop: asyncio.AbstractEventLoop
    arrived: float
    worker: "Worker[Item, Found] | None" = None
    """Which prepared it, and so has to answer it."""
    ready: Ready | None = None
    number: int = 0


class Batcher(Generic[Item, Found]):
    """Answers items by a worker, in batches."""

    def __init__(self, worker: Worker[Item, Found], limits: Limits | None = None, observer: Observer | None = None):
        self.limits = limits or Limits()
        self._worker = worker
        self._observer = observer
        self._jobs: OrderedDict[int, _Job[Item, Found]] = OrderedDict()
        """What waits, oldest first."""
        self._numbers = count()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_a_row = 0.01
        self._last_rows = 2
        """Items in the last batch: where it was one, nothing comes beside the next, and it need not wait."""
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._jobs)

    @property
    def alive(self) -> bool:
        """Whether items are answered."""
        return self._thread.is_alive() and not self._closed

    def replace(self, worker: Worker[Item, Found]) -> None:
        """Have another worker answer what is not prepared yet."""
        with self._changed:
            self._worker = worker

    def close(self, timeout: float | None = None) -> None:
        """Answer no more: the batch under way is finished, what waits fails with ClosedError.

        Returns after `timeout` seconds even if the batch takes longer.
        """
        with self._changed:
            self._closed = True
            left = list(self._jobs.values())
            self._jobs.clear()
            self._changed.notify_all()
        self._fail(left)
        self._thread.join(timeout)

    async def answer(self, items: Sequence[Item]) -> list[Found | Exception]:
        """Answer items, in order, each by what was found or why nothing was.

        Items beyond `Limits.part` follow once the ones before are answered, and then wait for room. Where the caller
        is cancelled, its items leave the queue.

        Raises QueueFullError where the queue has no room for the first of them, and ClosedError.
        """
        found: list[Found | Exception] = []
        part = self.limits.part
        for first in range(0, len(items), part):
            some = items[first : first + part]
            while first and self.limits.queue - self.waiting < len(some):
                await asyncio.sleep(self.limits.wait)
            replies = await asyncio.gather(*self._submit(some), return_exceptions=True)
            found += [_known(reply) for reply in replies]
        return found

    def _submit(self, items: Sequence[Item]) -> "list[asyncio.Future[Found]]":
        loop, now = asyncio.get_running_loop(), time.monotonic()
        jobs = [_Job[Item, Found](item, loop.create_future(), loop, now) for item in items]
        with self._changed:
            if not self.alive:
                raise ClosedError("the service is shutting down")
            if len(self._jobs) + len(jobs) > self.limits.queue:
                raise QueueFullError(max(1.0, len(self._jobs) * self._seconds_a_row))
            for job in jobs:
                job.number = next(self._numbers)
                self._jobs[job.number] = job
            self._note_waiting()
            self._changed.notify_all()
        for job in jobs:
            job.future.add_done_callback(partial(self._forget, job.number))
        return [job.future for job in jobs]

    def _forget(self, number: int, future: "asyncio.Future[Found]") -> None:
        """Free the place of an item that nobody waits for any more."""
        if future.cancelled():
            with self._changed:
                self._jobs.pop(number, None)
                self._note_waiting()

    def _note_waiting(self) -> None:
        """Report how many items wait; the lock is held, so that the last report is the true one."""
        if self._observer is not None:
            self._observer.waiting(self.waiting)

    def _run(self) -> None:
        try:
            while True:
                jobs = self._next()
                if jobs is None:
                    break
                self._answer(jobs)
        except Exception:
            logger.exception("the inference thread failed")
        finally:
            with self._changed:
                self._closed = True
                left = list(self._jobs.values())
                self._jobs.clear()
            self._fail(left)

    def _fail(self, jobs: "Sequence[_Job[Item, Found]]") -> None:
        self._deliver(jobs, [ClosedError("the service is shutting down")] * len(jobs))

    def _next(self) -> "list[_Job[Item, Found]] | None":
        """Wait for the next batch, which may be empty; None once the batcher is closed."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            alone = self._last_rows == 1 and len(self._jobs) == 1
            while self._jobs and len(self._jobs) < self.limits.rows and not (alone or self._closed):
                oldest = next(iter(self._jobs.values()))
                left = oldest.arrived + self.limits.wait - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if self._closed:
                return None
            jobs = list(islice(self._jobs.values(), self.limits.rows))
            worker = self._worker
        batch = self._fitting(self._prepared(jobs, worker))
        with self._changed:
            # One that was cancelled meanwhile is gone.
            taken = [job for job in batch if self._jobs.pop(job.number, None) is not None]
            self._note_waiting()
        return taken

    def _prepared(
        self, jobs: "Sequence[_Job[Item, Found]]", worker: Worker[Item, Found]
    ) -> "list[_Job[Item, Found]]":
        """Prepare what is not prepared yet; what cannot be leaves the queue."""
        fresh = [job for job in jobs if job.ready is None]
        if not fresh:
            return list(jobs)
        failed: list[tuple[_Job[Item, Found], Exception]] = []
        for job, ready in zip(fresh, self._prepare([job.item for job in fresh], worker), strict=True):
            if isinstance(ready, Exception):
                failed.append((job, ready))
            else:
                job.ready, job.worker = ready, worker
        if failed:
            with self._changed:
                for job, _ in failed:
                    self._jobs.pop(job.number, None)
            self._deliver([job for job, _ in failed], [error for _, error in failed])
        return [job for job in jobs if job.ready is not None]

    def _prepare(self, items: Sequence[Item], worker: Worker[Item, Found]) -> Sequence[Ready | Exception]:
        try:
            return worker.prepare(items)
        except Exception as error:
            return [error] if len(items) == 1 else [self._prepare([item], worker)[0] for item in items]

    def _fitting(self, jobs: "Sequence[_Job[Item, Found]]") -> "list[_Job[Item, Found]]":
        """Return the oldest job and those that fit into a batch with it."""
        batch: list[_Job[Item, Found]] = []
        tokens = 0
        for job in jobs:
            assert job.ready is not None
            if batch:
                first = batch[0]
                assert first.ready is not None
                if job.worker is not first.worker or job.ready.kind != first.ready.kind:
                    continue
                if tokens + job.ready.tokens > self.limits.tokens:
                    break
            batch.append(job)
            tokens += job.ready.tokens
        return batch

    def _answer(self, jobs: "Sequence[_Job[Item, Found]]") -> None:
        """Answer a batch of one worker and kind; where it raises, its halves."""
        if not jobs:
            return
        worker, began = jobs[0].worker, time.monotonic()
        assert worker is not None
        try:
            found = worker.answer([job.ready.value for job in jobs if job.ready is not None])
        except Exception as error:
            if len(jobs) > 1:
                half = len(jobs) // 2
                self._answer(jobs[:half])
                self._answer(jobs[half:])
                return
            found = [error]
        seconds = time.monotonic() - began
        self._last_rows = len(jobs)
        self._seconds_a_row += 0.2 * (seconds / len(jobs) - self._seconds_a_row)
        if self._observer is not None:
            tokens = sum(job.ready.tokens for job in jobs if job.ready is not None)
            self._observer.batch(len(jobs), tokens, seconds)
        self._deliver(jobs, found)

    def _deliver(self, jobs: "Sequence[_Job[Item, Found]]", found: "Sequence[Found | Exception]") -> None:
        """Set the futures of jobs, in their own event loops."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job[Item, Found], Found | Exception]]] = {}
        for job, one in zip(jobs, found, strict=True):
            by_loop.setdefault(job.loop, []).append((job, one))
        for loop, pairs in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: "Sequence[tuple[_Job[Item, Found], Found | Exception]]") -> None:
    for job, found in pairs:
        if job.future.done():
            continue
        if isinstance(found, Exception):
            job.future.set_exception(found)
        else:
            job.future.set_result(found)


def _known(reply: Found | BaseException) -> Found | Exception:
    """Return a reply; raises what is no fault of an item, such as a cancellation."""
    if isinstance(reply, BaseException) and (isinstance(reply, ClosedError) or not isinstance(reply, Exception)):
        raise reply
    return reply
