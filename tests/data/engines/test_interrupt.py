"""Ctrl-C while the sources are read: always a KeyboardInterrupt, and never a wait for ever."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pytest

from ecellm.data.engines.interrupt import interruptible

LONG = "SELECT sum(a.range % (b.range + 1)) FROM range(100000) a, range(10000000) b"


@contextmanager
def pressed_after(seconds: float) -> Iterator[None]:
    """Press Ctrl-C from outside after some seconds."""
    alarm = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


@pytest.mark.parametrize("seconds", [0.2, 0.25, 0.3, 0.35, 0.4])
def test_a_query_of_several_threads_ends_at_once(seconds: float) -> None:
    start = time.monotonic()
    with duckdb.connect() as connection:
        connection.execute("SET threads = 4")
        with pytest.raises(KeyboardInterrupt), interruptible(connection.interrupt), pressed_after(seconds):
            connection.sql(LONG).fetchall()
        assert connection.sql("SELECT 42").fetchall() == [(42,)]
    assert time.monotonic() - start < 30


def test_pythons_own_work_ends_soon() -> None:
    with duckdb.connect() as connection, pytest.raises(KeyboardInterrupt):
        with interruptible(connection.interrupt), pressed_after(0.1):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                time.sleep(0.01)
        raise AssertionError("it went on")


def test_an_interruption_that_comes_too_late_for_the_work_is_not_lost() -> None:
    with duckdb.connect() as connection, pytest.raises(KeyboardInterrupt), interruptible(connection.interrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_other_errors_and_the_handler_before_are_left_as_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)
    with duckdb.connect() as connection:
        with pytest.raises(ValueError, match="mine"), interruptible(connection.interrupt):
            raise ValueError("mine")
        with interruptible(connection.interrupt):
            assert signal.getsignal(signal.SIGINT) is not before
        assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_may_read_too() -> None:
    found: list[object] = []

    def work() -> None:
        with duckdb.connect() as connection, interruptible(connection.interrupt):
            found.extend(connection.sql("SELECT 42").fetchall())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(42,)]
