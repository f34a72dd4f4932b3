"""The listening socket of a worker process, which several share: who accepts a connection.

All workers wake for each new connection, and mostly the same one would take it; a client that keeps its connection
would stay there. So each publishes how many connections it has, and leaves a new one to those that have fewer.
"""

import socket
import time
from collections.abc import Callable, MutableSequence
from typing import Any

from ecellm.serving.server import BACKLOG

#: Published by a worker that accepts none.
CLOSED = -1
#: Seconds for which a connection is left to workers with fewer: one of them may just have died.
PATIENCE = 0.02
#: Seconds between two looks at whether another worker has taken it.
PAUSE = 0.0005


class SharedSocket(socket.socket):
    """A listening socket that leaves connections to the worker with the fewest."""

    def count(self, number: int, counts: MutableSequence[int], own: Callable[[], int]) -> None:
        """Take the worker's number, all workers' numbers of connections, and what returns its own."""
        self._number, self._counts, self._own = number, counts, own
        self._first = self._last = 0.0
        counts[number] = own()

    def listen(self, backlog: int = BACKLOG, /) -> None:
        """Listen; asyncio would shorten the queue of connections to the number that it accepts at once."""
        super().listen(BACKLOG)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; raises BlockingIOError where there is none, or it is another worker's turn."""
        if not self._is_its_turn():
            raise BlockingIOError
        made = super().accept()
        self._counts[self._number] = self._own() + 1
        return made

    def _is_its_turn(self) -> bool:
        self._counts[self._number] = self._own()
        if self._own() <= min(count for count in self._counts if count != CLOSED):
            return True
        now = time.monotonic()
        if now - self._last > PATIENCE:
            self._first = now
        self._last = now
        if now - self._first >= PATIENCE:
            return True
        time.sleep(PAUSE)
        return False
