"""The process of a service: its socket, its signals, and uvicorn between them.

SIGTERM and Ctrl-C let what is under way finish within a grace time, and refuse the rest; a second one ends the
process at once. SIGHUP loads the model anew.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from errno import errorcode

import uvicorn
from starlette.types import ASGIApp

from ecellm.errors import ConfigError, EcellmError
from ecellm.serving.guard import MAX_HEADER_BYTES
from ecellm.serving.keys import VARIABLE, Keys
from ecellm.serving.service import Service

logger = logging.getLogger(__name__)

#: Connections, the idle ones included, and the seconds that an idle one is kept.
MAX_CONNECTIONS, IDLE_SECONDS = 1000, 30
#: Connections that wait to be accepted.
BACKLOG = 2048
#: Seconds that responses may take to be sent once all requests are answered or refused.
CLOSING_SECONDS = 2


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposed(host: str, keys: Keys, insecure: bool) -> None:
    """Raise ConfigError where other machines would reach a service without a key, and where there is one in spite of
    `insecure`."""
    if keys and insecure:
        raise ConfigError(f"{VARIABLE} is set, so every request needs a key: unset it, or leave --insecure out.")
    if not (keys or insecure or is_loopback(host)):
        raise ConfigError(
            f"Other machines reach {host}, and without a key anyone may ask: set {VARIABLE} to one or several, "
            "divided by commas, or add --insecure if something before the service checks who asks."
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises ConfigError where the address cannot be had."""
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        # Connections inherit it. Without it the second part of a response waits 40 ms for the client to acknowledge
        # the first; asyncio sets it only for sockets that name their protocol, as those of create_server do not.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError, OverflowError) as error:
        # Python adds to the text of some of them.
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number in errorcode else str(error)
        raise ConfigError(
            f"Cannot listen on {host}, port {port} ({reason.lower()}): choose another --host or --port."
        ) from error


class _Server(uvicorn.Server):
    """Uvicorn, with the signals left to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http_server(app: ASGIApp) -> uvicorn.Server:
    """Return the HTTP server of an application; it leaves the signals to its caller."""
    return _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=CLOSING_SECONDS,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
    )


def run(service: Service, app: ASGIApp, listening: socket.socket, grace: float) -> None:
    """Serve until a signal ends it; raises what loading the model raises."""
    asyncio.run(_serve(service, app, listening, grace))


async def _serve(service: Service, app: ASGIApp, listening: socket.socket, grace: float) -> None:
    server = http_server(app)
    stopped = asyncio.Event()
    handle_signals(service, stopped.set)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    starting, stopping = asyncio.create_task(service.start()), asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((starting, stopping, serving), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done() or starting.exception() is None:
            await asyncio.wait((stopping, serving), return_when=asyncio.FIRST_COMPLETED)
            await service.drain(grace)
    finally:
        server.should_exit = True
        await serving
        stopping.cancel()
    if starting.done():
        await starting
    logger.info("stopped", extra={"model": service.name})


def handle_signals(
    service: Service, stop: Callable[[], None], stopping: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)
) -> None:
    """Have the first of some signals call `stop`, the next one end the process at once, and SIGHUP load the model
    anew; called in the event loop."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[str | None]] = set()

    def stop_once() -> None:
        stop()
        for number in stopping:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    def reload() -> None:
        task = asyncio.create_task(reload_and_log(service))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in stopping:
        loop.add_signal_handler(number, stop_once)
    loop.add_signal_handler(signal.SIGHUP, reload)


async def reload_and_log(service: Service) -> str | None:
    """Load the model anew; returns why it could not be, which is logged."""
    try:
        await service.reload()
    except EcellmError as error:
        logger.error("reload failed", extra={"model": service.name, "reason": str(error)})
        return str(error)
    except Exception as error:
        logger.exception("reload failed", extra={"model": service.name})
        return f"internal error ({type(error).__name__})"
    return None
