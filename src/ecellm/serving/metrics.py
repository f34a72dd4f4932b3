"""Figures of the service for Prometheus; every name begins with `ecellm_`.

Where several worker processes answer, prometheus-client keeps each one's figures in files of a common folder
(PROMETHEUS_MULTIPROC_DIR), and any of them reports the sum.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

#: The environment variable of the folder; prometheus-client looks for it when it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (64, 256, 1024, 4096, 8192, 16_384, 32_768)


class Metrics:
    """Figures of one service's process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter("ecellm_requests", "Requests.", ["path", "status"], registry=own)
        self.seconds = Histogram(
            "ecellm_request_seconds", "Seconds to answer a request.", ["path"], buckets=SECONDS, registry=own
        )
        self.under_way = _gauge("ecellm_requests_under_way", "Requests that are being answered.", own)
        self.questions = Counter("ecellm_questions", "Questions received.", ["task"], registry=own)
        self.queue = _gauge("ecellm_queue_questions", "Questions that wait.", own)
        self.batch_rows = Histogram("ecellm_batch_rows", "Questions in a batch.", buckets=ROWS, registry=own)
        self.batch_tokens = Histogram("ecellm_batch_tokens", "Tokens in a batch.", buckets=TOKENS, registry=own)
        self.batch_seconds = Histogram(
            "ecellm_batch_seconds", "Seconds to answer a batch.", buckets=SECONDS, registry=own
        )
        self.prompt_tokens = Counter("ecellm_prompt_tokens", "Tokens that were read.", registry=own)
        self.completion_tokens = Counter(
            "ecellm_completion_tokens", "Tokens that chat completions wrote.", registry=own
        )
        self.errors = Counter("ecellm_errors", "Requests that ended in an error.", ["kind"], registry=own)
        self.ready = _gauge("ecellm_ready", "Processes that answer questions: 1 or 0 of one worker.", own)
        self.reloads = Counter("ecellm_reloads", "Models loaded anew.", ["result"], registry=own)

    def waiting(self, items: int) -> None:
        """Take note of how many questions wait."""
        self.queue.set(items)

    def batch(self, rows: int, tokens: int, seconds: float) -> None:
        """Take note of a batch that was answered."""
        self.batch_rows.observe(rows)
        self.batch_tokens.observe(tokens)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return the figures in Prometheus's text form, summed over all worker processes."""
        registry = self.registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _gauge(name: str, says: str, registry: CollectorRegistry) -> Gauge:
    """Return a gauge that is summed over the processes that live."""
    return Gauge(name, says, registry=registry, multiprocess_mode="livesum")
