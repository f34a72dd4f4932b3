"""A service of a model of this process, at a free port of this machine, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ecellm.serving.app import create_app
from ecellm.serving.guard import Allowed
from ecellm.serving.keys import Keys
from ecellm.serving.server import http_server, listen
from ecellm.serving.service import Service


@dataclass
class Live:
    """A service that listens."""

    url: str
    service: Service
    loop: asyncio.AbstractEventLoop

    def reload(self) -> None:
        """Have it load its model anew."""
        asyncio.run_coroutine_threadsafe(self.service.reload(), self.loop).result(60)


@contextmanager
def live(service: Service, key: str | None = None) -> Iterator[Live]:
    """Start a service, and end it with the block."""
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = http_server(create_app(service, Allowed(Keys([key] if key else []))))
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        await service.start()
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.005)
        started.set()
        await serving
        await service.drain(0)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert started.wait(60)
        yield Live(url, service, loops[0])
    finally:
        server.should_exit = True
        thread.join(60)
