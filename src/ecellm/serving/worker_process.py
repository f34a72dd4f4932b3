"""A worker process of a service with several: a model of its own behind the socket that all share.

It accepts connections once its model is warm, so that the others answer meanwhile. Its supervisor is at the other end
of a pipe: where that end closes, because the supervisor was killed, the worker finishes what is under way and ends.
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, MutableSequence
from itertools import count
from multiprocessing.connection import Connection

from ecellm.errors import EcellmError, ModelError
from ecellm.serving.logs import set_up
from ecellm.serving.messages import Failed, Message, Ready, Reload, ReloadAll, Reloaded
from ecellm.serving.metrics import FOLDER
from ecellm.serving.served_model import ServedModel
from ecellm.serving.server import handle_signals, http_server, reload_and_log
from ecellm.serving.service import Service
from ecellm.serving.shared_socket import CLOSED, SharedSocket
from ecellm.serving.supervisor import ENDING_SECONDS

logger = logging.getLogger(__name__)

#: Seconds between two looks at whether the inference thread lives.
LOOK_SECONDS = 1.0
FAILED = 1


class Link:
    """A worker's end of the pipe to its supervisor."""

    def __init__(self, connection: Connection, grace: float):
        self._connection, self._grace = connection, grace
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.orphaned = False
        """Whether the supervisor is gone."""

    def send(self, message: Message) -> None:
        """Send a message, unless the supervisor is gone."""
        try:
            self._connection.send(message)
        except OSError:
            self.orphaned = True

    def attach(self, service: Service, stop: Callable[[], None]) -> None:
        """Follow the supervisor's messages from now on, in the running event loop; without it, stop."""
        loop = asyncio.get_running_loop()
        following: set[asyncio.Task[None]] = set()

        async def reload() -> None:
            self.send(Reloaded(await reload_and_log(service)))

        def begin_reload() -> None:
            task = asyncio.create_task(reload())
            following.add(task)
            task.add_done_callback(following.discard)

        def follow() -> None:
            while (message := self._received()) is not None:
                if isinstance(message, Reload):
                    loop.call_soon_threadsafe(begin_reload)
                elif isinstance(message, ReloadAll):
                    loop.call_soon_threadsafe(self._reloaded, message)
            loop.call_soon_threadsafe(stop)
            # Whatever still holds the process, such as a model that is being loaded, it must not outlive this.
            time.sleep(self._grace + ENDING_SECONDS)
            os._exit(FAILED)

        threading.Thread(target=follow, name="supervisor", daemon=True).start()

    async def reload_all(self) -> None:
        """Have the supervisor reload every worker; raises ModelError where one could not load the model."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.send(ReloadAll(number))
            await self._waiting[number]
        finally:
            del self._waiting[number]

    def _received(self) -> object:
        """Wait for a message; None where the supervisor is gone."""
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            self.orphaned = True
            return None

    def _reloaded(self, reply: ReloadAll) -> None:
        future = self._waiting.get(reply.number)
        if future is None or future.done():  # its client went away
            return
        if reply.failure is None:
            future.set_result(None)
        else:
            future.set_exception(ModelError(reply.failure))


def run(
    connection: Connection,
    number: int,
    listening: socket.socket,
    grace: float,
    model: ServedModel,
    counts: MutableSequence[int],
) -> None:
    """Serve as one of several workers until SIGTERM; `number` is its place among them, `counts` has all workers'
    numbers of connections."""
    counts[number] = CLOSED
    # Ctrl-C reaches all processes of a terminal: the supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
    set_up(number)
    link = Link(connection, grace)
    try:
        asyncio.run(_serve(link, SharedSocket(fileno=listening.detach()), number, counts, grace, model))
    except EcellmError as error:
        link.send(Failed(type(error).__name__, str(error)))
        sys.exit(FAILED)
    except Exception as error:
        logger.exception("internal error")
        link.send(Failed(type(error).__name__, str(error)))
        sys.exit(FAILED)
    finally:
        _clean_up(link)


def _clean_up(link: Link) -> None:
    """Remove the folder of figures where the supervisor, whose it is, is gone."""
    if link.orphaned:
        shutil.rmtree(os.environ.get(FOLDER, ""), ignore_errors=True)


async def _serve(
    link: Link,
    listening: SharedSocket,
    number: int,
    counts: MutableSequence[int],
    grace: float,
    model: ServedModel,
) -> None:
    service = model.service()
    service.reload_all = link.reload_all
    stopped = asyncio.Event()
    handle_signals(service, stopped.set, (signal.SIGTERM,))
    link.attach(service, stopped.set)
    starting, stopping = asyncio.create_task(service.start()), asyncio.create_task(stopped.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # nothing was accepted, and the thread that loads the model cannot be interrupted
        _clean_up(link)
        os._exit(0)
    await starting
    server = http_server(model.app(service))
    # Connections that asyncio accepts at once: no worker takes all that come together.
    server.config.backlog = 1
    listening.count(number, counts, lambda: len(server.server_state.connections))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    link.send(Ready())
    failing = asyncio.create_task(_until_broken(service))
    await asyncio.wait((stopping, failing, serving), return_when=asyncio.FIRST_COMPLETED)
    counts[number] = CLOSED
    await service.drain(grace)
    server.should_exit = True
    await serving
    stopping.cancel()
    failing.cancel()
    logger.info("stopped", extra={"model": service.name})


async def _until_broken(service: Service) -> None:
    """Wait until the service answers no more, because its inference thread failed: another worker takes its place."""
    while service.is_ready:
        await asyncio.sleep(LOOK_SECONDS)
