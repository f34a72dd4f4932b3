"""Which of several workers accepts a connection."""

import socket
import time

import pytest

from ecellm.serving.shared_socket import CLOSED, PATIENCE, SharedSocket

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_a_connection_goes_to_the_worker_with_the_fewest_and_waits_for_no_dead_one() -> None:
    counts, own = [0, 0, CLOSED], [0]
    with socket.create_server(("127.0.0.1", 0)) as made:
        address = made.getsockname()
        with SharedSocket(fileno=made.detach()) as listening:
            listening.count(0, counts, lambda: own[0])
            with socket.create_connection(address), socket.create_connection(address):
                listening.accept()[0].close()
                assert counts == [1, 0, CLOSED]
                own[0] = 1
                began = time.monotonic()
                with pytest.raises(BlockingIOError):
                    listening.accept()
                counts[1] = 1
                listening.accept()[0].close()
                assert counts == [2, 1, CLOSED]
            own[0] = 2
            with socket.create_connection(address):
                for _ in range(1000):
                    try:
                        listening.accept()[0].close()
                        break
                    except BlockingIOError:
                        continue
                assert time.monotonic() - began >= PATIENCE and counts == [3, 1, CLOSED]
