"""Work that waits for a server, done by several threads, its results as they come."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def results_as_they_come(
    items: Sequence[Item], work: Callable[[Item], Found], threads: int, halt: threading.Event | None, timeout: float
) -> Iterator[Found]:
    """Yield what `work` returns for each item, in any order.

    Once `halt` is set, or an item raises an error, which every other would meet too, no more are begun; those under
    way are awaited for `timeout` seconds. The first error is raised at the end.
    """
    # Not `halt` itself, which ends the whole run: where this call ends well, the run goes on with other items.
    ended = threading.Event()

    def stopped() -> bool:
        return ended.is_set() or (halt is not None and halt.is_set())

    todo: SimpleQueue[Item] = SimpleQueue()
    # What the threads report: a result in a list, an error, or None where one ends.
    done: SimpleQueue[list[Found] | Exception | None] = SimpleQueue()
    for item in items:
        todo.put(item)

    def run() -> None:
        while not stopped():
            try:
                item = todo.get_nowait()
            except Empty:
                break
            try:
                done.put([work(item)])
            except Exception as error:
                (ended if halt is None else halt).set()
                done.put(error)
        done.put(None)

    working = min(threads, len(items))
    try:
        for _ in range(working):
            # Daemons, so that an interrupted run does not wait for the server.
            threading.Thread(target=run, daemon=True).start()
        yield from _arriving(done, working, stopped, timeout)
    finally:
        ended.set()


def _arriving(
    done: "SimpleQueue[list[Found] | Exception | None]", working: int, stopped: Callable[[], bool], timeout: float
) -> Iterator[Found]:
    reason: Exception | None = None
    ends: float | None = None
    while working:
        if stopped() and ends is None:
            ends = time.monotonic() + timeout
        try:
            found = done.get(timeout=None if ends is None else max(ends - time.monotonic(), 0.0))
        except Empty:
            break
        if found is None:
            working -= 1
        elif isinstance(found, Exception):
            reason = reason or found
        else:
            yield from found
    if reason is not None:
        raise reason
