"""Ctrl-C while DuckDB works: its query ends first, then Python's work."""

import signal
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds between two calls that ask DuckDB to stop, and how many are made before Python's own work is stopped.
TICK, TICKS = 0.05, 20


@contextmanager
def interruptible(stop_query: Callable[[], None]) -> Iterator[None]:
    """Turn Ctrl-C into KeyboardInterrupt, by way of `stop_query`, which ends the query that runs (if any).

    A signal handler that raises in the midst of a query, as Python's own does, can leave DuckDB 2.0 waiting for
    its threads for ever. Here the handler only starts a thread that asks DuckDB to stop, again and again, so
    that a query begun a moment later ends too; what runs for another second without DuckDB is then stopped by
    Python. Outside the main thread, which alone receives signals, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over, late = threading.Event(), threading.Event()
    insisting: list[threading.Thread] = []

    def insist() -> None:
        for _ in range(TICKS):
            stop_query()
            if over.wait(TICK):
                return
        late.set()
        interrupt_main()

    def pressed(number: int, frame: FrameType | None) -> None:
        if not insisting:
            insisting.append(threading.Thread(target=insist, daemon=True))
            insisting[0].start()
        elif late.is_set() and not over.is_set():
            (before if callable(before) else signal.default_int_handler)(number, frame)

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield
    except Exception as error:
        if insisting:
            raise KeyboardInterrupt from error
        raise
    finally:
        over.set()
        for thread in insisting:
            thread.join()
        signal.signal(signal.SIGINT, before)
    if insisting:
        raise KeyboardInterrupt
