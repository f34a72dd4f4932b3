"""The supervisor of a service with several worker processes: it owns the listening socket, starts the workers, starts
those that die again, and passes signals and reloads on. It loads no model and answers no request.

Uvicorn's own supervisor is not used: it restarts without backoff, ends the whole service where one worker fails at
its start, waits for a draining worker without limit, and its workers outlive it when it is killed.
"""

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, Literal, NoReturn

from ecellm import errors
from ecellm.errors import EcellmError, ModelError
from ecellm.serving.messages import Failed, Message, Ready, Reload, ReloadAll, Reloaded

logger = logging.getLogger(__name__)

#: Seconds until a worker that died is started again; they double with each failure in a row.
FIRST_PAUSE, MAX_PAUSE = 0.5, 30.0
#: A worker that answered for so many seconds before it died did not fail in a row.
STEADY_SECONDS = 60.0
#: Failures in a row of every worker after which the service ends.
MAX_FAILURES = 5
#: Seconds beyond the grace time after which a process that should end is killed.
ENDING_SECONDS = 10.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: What a worker process runs: it gets its end of the pipe, its number, the socket, and further arguments.
Target = Callable[..., None]


class InternalWorkerError(Exception):
    """A worker failed at its start for a reason that no user can mend."""


@dataclass
class _Place:
    """A worker's place: its process dies and is replaced."""

    number: int
    state: Literal["down", "starting", "ready"] = "down"
    due: float = 0.0
    """When a process is started here."""
    ready_since: float = 0.0
    failures: int = 0
    """In a row."""
    failed: Failed | None = None
    """Why the process says that it ends."""
    process: SpawnProcess | None = None
    connection: Connection | None = None


@dataclass
class _Round:
    """One reload of all workers, one after the other, so that one more model at most is in memory."""

    requests: list[tuple[_Place, ReloadAll]]
    """Who waits for its end."""
    left: deque[_Place]
    under_way: bool = False
    """Whether the first of these has been sent its message."""
    reloaded: int = 0
    failure: str | None = None


@dataclass
class Supervisor:
    """Keeps workers running until SIGTERM or Ctrl-C."""

    target: Target
    arguments: Sequence[object]
    """Behind the socket."""
    workers: int
    listening: socket.socket
    grace: float
    """Seconds that requests under way may take after SIGTERM."""
    on_death: Callable[[int], object] = lambda pid: None
    """Called with the process id of each worker that ended."""
    _stopping: float | None = None
    """When what has not ended is killed."""
    _ever_ready: bool = False
    _signals: list[int] = field(default_factory=list)
    _wanted: list[tuple[_Place, ReloadAll] | None] = field(default_factory=list)
    """Requests to reload that wait for a round; None for a signal."""
    _round: _Round | None = None

    def __post_init__(self) -> None:
        self._places = [_Place(number) for number in range(self.workers)]
        self._spawn = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Supervise until a signal ends it and the workers have finished what was under way.

        Raises the EcellmError that kept the first worker from loading its model, and ModelError where every worker
        dies again and again.
        """
        # Its first start would unblock signals that are blocked for a worker's.
        resource_tracker.ensure_running()
        with self._signals_collected() as awake:
            try:
                while not self._over():
                    self._start_what_is_due()
                    self._continue_reload()
                    self._wait(awake)
                    self._take_signals()
                    for place in self._places:
                        self._look_at(place)
            finally:
                for place in self._places:
                    if place.process is not None:
                        place.process.kill()
                        place.process.join()

    def _over(self) -> bool:
        return self._stopping is not None and all(place.process is None for place in self._places)

    @contextmanager
    def _signals_collected(self) -> Iterator[socket.socket]:
        """Collect signals, and give a socket that is readable once there are some."""
        awake, written = socket.socketpair()
        with awake, written:
            awake.setblocking(False)
            written.setblocking(False)
            before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
            descriptor = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
            try:
                yield awake
            finally:
                signal.set_wakeup_fd(descriptor)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _take_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._wanted.append(None)
            elif self._stopping is None:
                self._stop()
            else:
                self._end_at_once(number)

    def _stop(self) -> None:
        """Have workers finish what is under way; one that still loads its model ends at once."""
        logger.info("draining")
        self._stopping = time.monotonic() + self.grace + ENDING_SECONDS
        self.listening.close()
        for place in self._places:
            if place.process is not None:
                place.process.terminate()

    def _end_at_once(self, number: int) -> NoReturn:
        for place in self._places:
            if place.process is not None:
                place.process.kill()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        raise AssertionError("a signal's default action ends the process")

    def _wait(self, awake: socket.socket) -> None:
        """Wait until something happens, or something is due."""
        watched: list[Any] = [awake]
        for place in self._places:
            if place.process is not None and place.connection is not None:
                watched += [place.process.sentinel, place.connection]
        dues = [place.due for place in self._places if place.process is None]
        dues = dues if self._stopping is None else [self._stopping]
        wait(watched, None if not dues else max(0.0, min(dues) - time.monotonic()))
        try:
            while awake.recv(512):
                pass
        except BlockingIOError:
            pass

    def _start_what_is_due(self) -> None:
        if self._stopping is not None:
            if time.monotonic() >= self._stopping:
                self._kill_the_rest()
            return
        for place in self._places:
            if place.process is None and place.due <= time.monotonic():
                self._start(place)

    def _kill_the_rest(self) -> None:
        for place in self._places:
            if place.process is not None:
                logger.warning("killed", extra={"pid": place.process.pid, "reason": "it did not end in time"})
                place.process.kill()

    def _start(self, place: _Place) -> None:
        place.connection, theirs = self._spawn.Pipe()
        place.process = self._spawn.Process(
            target=self.target,
            args=(theirs, place.number, self.listening, *self.arguments),
        )
        # Until it listens to signals, which it is to do before any reaches it: Ctrl-C reaches all of a terminal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            place.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        place.state, place.failed = "starting", None
        logger.info("worker started", extra={"pid": place.process.pid})

    def _look_at(self, place: _Place) -> None:
        """Take a worker's messages, and note its end."""
        if place.process is None or place.connection is None:
            return
        ended = not place.process.is_alive()  # first, so that its last message is not missed
        try:
            while place.connection.poll():
                self._take(place, place.connection.recv())
        except (EOFError, OSError):
            pass  # it is ending
        if ended:
            self._ended(place, place.process, place.connection)

    def _take(self, place: _Place, message: Message) -> None:
        match message:
            case Ready():
                place.state, place.ready_since = "ready", time.monotonic()
                self._ever_ready = True
            case Failed():
                place.failed = message
            case ReloadAll():
                self._wanted.append((place, message))
            case Reloaded(failure) if self._round is not None and self._round.left[0] is place:
                self._round.under_way = False
                self._round.left.popleft()
                self._round.reloaded += failure is None
                self._round.failure = failure

    def _ended(self, place: _Place, process: SpawnProcess, connection: Connection) -> None:
        """Plan when a worker that ended is started again; raises where that is of no use."""
        process.join()
        connection.close()
        lasted = place.state == "ready" and time.monotonic() - place.ready_since >= STEADY_SECONDS
        was_ready, place.state, place.process, place.connection = place.state == "ready", "down", None, None
        assert process.pid is not None
        self.on_death(process.pid)
        if self._stopping is not None:
            return
        place.failures = 1 if lasted else place.failures + 1
        # One that has answered is replaced at once; where that fails too, there may be a reason to wait.
        at_once = was_ready and place.failures == 1
        pause = 0.0 if at_once else min(FIRST_PAUSE * 2 ** (place.failures - 1), MAX_PAUSE)
        place.due = time.monotonic() + pause
        reason = _reason(process, place.failed)
        logger.warning("worker ended", extra={"pid": process.pid, "reason": reason})
        if not any(other.state == "ready" for other in self._places):
            self._check_recoverable(place, reason)

    def _check_recoverable(self, place: _Place, reason: str) -> None:
        if place.failed is not None and not self._ever_ready:
            raise _error(place.failed)
        if all(other.failures >= MAX_FAILURES for other in self._places):
            raise ModelError(
                f"No worker could go on: each died {MAX_FAILURES} times or more in a row, the last one because "
                f"{reason}. Where memory runs out, start fewer --workers."
            )

    def _continue_reload(self) -> None:
        """Take the next step of a reload of all workers."""
        if self._round is None and self._wanted:
            requests = [one for one in self._wanted if one is not None]
            self._wanted.clear()
            self._round = _Round(requests, deque(self._places))
        now = self._round
        while now is not None and now.left and now.failure is None:
            place = now.left[0]
            if place.state == "down" or self._stopping is not None:  # it will start with the new model
                now.left.popleft()
                now.under_way = False
            elif place.state == "starting" or now.under_way:
                return
            else:
                now.under_way = True
                _send(place, Reload())
                return
        if now is not None:
            self._round = None
            self._reply(now)

    def _reply(self, ended: _Round) -> None:
        failure = ended.failure
        if failure is not None and ended.reloaded:
            failure += f" ({ended.reloaded} of {self.workers} workers have the new model already: reload once more.)"
        logger.info("reload ended", extra={"reason": failure})
        for place, request in ended.requests:
            _send(place, ReloadAll(request.number, failure))


def _send(place: _Place, message: Message) -> None:
    """Send a message to a worker, unless it has just ended, which is noted elsewhere."""
    try:
        if place.connection is not None:
            place.connection.send(message)
    except OSError:
        pass


def _reason(process: SpawnProcess, failed: Failed | None) -> str:
    """Return why a worker ended, as a clause."""
    if failed is not None:
        return f"of {failed.kind}: {failed.reason.rstrip('.')}"
    if process.exitcode is not None and process.exitcode < 0:
        killed = signal.Signals(-process.exitcode)
        memory = ", as where memory runs out" if killed == signal.SIGKILL else ""
        return f"it was ended by {killed.name}{memory}"
    return f"it ended with exit code {process.exitcode}"


def _error(failed: Failed) -> Exception:
    """Return the error that a worker met at its start."""
    kind = getattr(errors, failed.kind, None)
    if isinstance(kind, type) and issubclass(kind, EcellmError):
        return kind(failed.reason)
    return InternalWorkerError(f"{failed.kind}: {failed.reason}")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started within the block."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update(before)
