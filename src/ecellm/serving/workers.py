"""A service of several worker processes: what they share, and how many threads each has."""

import os
import socket
import tempfile
from functools import partial
from multiprocessing import get_context

from prometheus_client.multiprocess import mark_process_dead

from ecellm.serving.metrics import FOLDER
from ecellm.serving.served_model import ServedModel
from ecellm.serving.shared_socket import CLOSED
from ecellm.serving.supervisor import Supervisor, environment
from ecellm.serving.worker_process import run

THREADS = "OMP_NUM_THREADS"


def threads_each(workers: int) -> int:
    """Return how many threads each worker computes with, so that together they have one for each core."""
    return max(1, len(os.sched_getaffinity(0)) // workers)


def run_workers(model: ServedModel, workers: int, listening: socket.socket, grace: float) -> None:
    """Serve a model by several processes until a signal ends it; raises as `Supervisor.run`."""
    threads = os.environ.get(THREADS) or str(threads_each(workers))
    with (
        tempfile.TemporaryDirectory(prefix="ecellm-metrics-", ignore_cleanup_errors=True) as folder,
        environment({THREADS: threads, FOLDER: folder}),
    ):
        on_death = partial(mark_process_dead, path=folder)
        counts = get_context("spawn").RawArray("i", [CLOSED] * workers)
        Supervisor(run, (grace, model, counts), workers, listening, grace, on_death).run()
