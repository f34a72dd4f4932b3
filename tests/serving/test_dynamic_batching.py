"""Batching: what is answered together, and that no item depends on another."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.serving.batching import Batcher, ClosedError, Limits, QueueFullError, Ready

T = TypeVar("T")


@dataclass
class Doubler:
    """Doubles numbers; 13 cannot be prepared, 7 makes its whole batch fail. Odd and even ones are two kinds."""

    batches: list[list[int]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def prepare(self, items: Sequence[int]) -> list[Ready | Exception]:
        return [
            ValueError("unlucky") if item == 13 else Ready(item, tokens=max(1, abs(item)), kind=item % 2)
            for item in items
        ]

    def answer(self, batch: Sequence[int]) -> list[int | Exception]:
        self.entered.set()
        self.gate.wait(10)
        self.batches.append(list(batch))
        if 7 in batch:
            raise RuntimeError("seven")
        return [2 * one for one in batch]


Make = Callable[..., Batcher[int, int]]


@pytest.fixture
def make() -> Iterator[Make]:
    """Batchers that are closed in the end."""
    made: list[tuple[Batcher[int, int], Doubler]] = []

    def batcher(worker: Doubler, **limits: float) -> Batcher[int, int]:
        made.append((Batcher(worker, Limits(**{"wait": 0.02, **limits})), worker))  # type: ignore[arg-type]
        return made[-1][0]

    yield batcher
    for one, worker in made:
        worker.gate.set()
        one.close()


def run(task: Callable[[], Awaitable[T]]) -> T:
    async def timed() -> T:
        async with asyncio.timeout(20):
            return await task()

    return asyncio.run(timed())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_what_waits_together_is_answered_together(make: Make) -> None:
    worker = Doubler()
    batcher = make(worker)

    async def ask() -> list[list[int | Exception]]:
        return await asyncio.gather(*(batcher.answer([number]) for number in (2, 4, 6)))

    assert run(ask) == [[4], [8], [12]]
    assert worker.batches == [[2, 4, 6]]


def test_where_items_come_one_by_one_none_waits_for_another(make: Make) -> None:
    worker = Doubler()
    batcher = make(worker, wait=0.3)

    async def ask() -> float:
        await batcher.answer([2])
        began = time.monotonic()
        for number in range(4, 24, 2):
            assert await batcher.answer([number]) == [2 * number]
        took = time.monotonic() - began
        assert await asyncio.gather(*(batcher.answer([number]) for number in (2, 4, 6))) == [[4], [8], [12]]
        return took

    assert run(ask) < 10 * 0.3
    assert len(worker.batches) == 12


def test_batches_keep_within_rows_and_tokens_and_are_of_one_kind(make: Make) -> None:
    worker = Doubler()
    batcher = make(worker, rows=3, tokens=10)
    assert run(lambda: batcher.answer([2, 2, 2, 2, 1, 8, 4, 30])) == [4, 4, 4, 4, 2, 16, 8, 60]
    assert worker.batches == [[2, 2, 2], [2, 8], [1], [4], [30]]


@given(st.lists(st.integers(-20, 20), max_size=40), st.integers(1, 8), st.integers(1, 60))
def test_every_item_gets_its_own_answer_whatever_stands_in_the_batch(
    items: list[int], rows: int, tokens: int
) -> None:
    batcher = Batcher(Doubler(), Limits(rows=rows, tokens=tokens, wait=0))
    try:
        found = run(lambda: batcher.answer(items))
    finally:
        batcher.close()
    assert len(found) == len(items)
    for item, one in zip(items, found, strict=True):
        if item == 13:
            assert isinstance(one, ValueError)
        elif item == 7:
            assert isinstance(one, RuntimeError)
        else:
            assert one == 2 * item


def test_a_full_queue_is_refused_with_a_time_to_wait(make: Make) -> None:
    worker = Doubler()
    batcher = make(worker, queue=4, rows=1, wait=0)
    worker.gate.clear()

    async def ask() -> list[int | Exception]:
        first = asyncio.create_task(batcher.answer([2]))
        await until(worker.entered.is_set)
        others = [asyncio.create_task(batcher.answer([4, 6])) for _ in range(2)]
        await until(lambda: batcher.waiting == 4)
        with pytest.raises(QueueFullError) as full:
            await batcher.answer([8])
        assert full.value.retry_after >= 1
        worker.gate.set()
        return [*await first, *await others[0], *await others[1]]

    assert run(ask) == [4, 8, 12, 8, 12]


def test_a_long_request_goes_through_a_short_queue_in_parts(make: Make) -> None:
    batcher = make(Doubler(), queue=4, wait=0)
    numbers = list(range(20, 60))
    assert run(lambda: batcher.answer(numbers)) == [2 * number for number in numbers]


def test_who_goes_away_frees_the_place_and_is_not_answered(make: Make) -> None:
    worker = Doubler()
    batcher = make(worker, rows=1, wait=0)
    worker.gate.clear()

    async def ask() -> None:
        first = asyncio.create_task(batcher.answer([2]))
        await until(worker.entered.is_set)
        gone, stays = asyncio.create_task(batcher.answer([4])), asyncio.create_task(batcher.answer([6]))
        await until(lambda: batcher.waiting == 2)
        gone.cancel()
        await asyncio.sleep(0)
        await until(lambda: batcher.waiting == 1)
        worker.gate.set()
        assert [*await first, *await stays] == [4, 12]

    run(ask)
    assert worker.batches == [[2], [6]]


def test_the_event_loop_is_not_blocked_by_a_batch(make: Make) -> None:
    worker = Doubler()
    batcher = make(worker)
    worker.gate.clear()

    async def ask() -> float:
        waiting = asyncio.create_task(batcher.answer([2]))
        began = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.002)
        took = time.monotonic() - began
        assert not waiting.done()
        worker.gate.set()
        await waiting
        return took

    assert run(ask) < 5


def test_a_new_worker_answers_what_is_not_prepared_yet(make: Make) -> None:
    class Tripler(Doubler):
        def answer(self, batch: Sequence[int]) -> list[int | Exception]:
            return [3 * one for one in batch]

    old = Doubler()
    batcher = make(old, rows=1, wait=0)
    old.gate.clear()

    async def ask() -> list[int | Exception]:
        under_way = asyncio.create_task(batcher.answer([2]))
        await until(old.entered.is_set)
        later = asyncio.create_task(batcher.answer([4]))
        await until(lambda: batcher.waiting == 1)
        batcher.replace(Tripler())
        old.gate.set()
        return [*await under_way, *await later]

    assert run(ask) == [4, 12]


def test_closing_finishes_the_batch_under_way_and_fails_what_waits(make: Make) -> None:
    worker = Doubler()
    batcher = make(worker, rows=1, wait=0)
    worker.gate.clear()

    async def ask() -> None:
        first = asyncio.create_task(batcher.answer([2]))
        await until(worker.entered.is_set)
        waits = asyncio.create_task(batcher.answer([4]))
        await until(lambda: batcher.waiting == 1)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0.01)
        worker.gate.set()
        await closing
        assert await first == [4]
        with pytest.raises(ClosedError):
            await waits
        with pytest.raises(ClosedError):
            await batcher.answer([2])

    run(ask)
    assert not batcher.alive
