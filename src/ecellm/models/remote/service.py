"""Inference through `ecellm serve` on another machine or in another process: its model answers rows as it would here.

The service makes the prompts and decides how answers are made. Each answer is marked with the hash of its model, so
that a run never mixes the answers of two.
"""

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from tenacity import Retrying

from ecellm.errors import ConfigError, ServerError
from ecellm.models.base import Decoding, Failure, Reply, Request
from ecellm.models.remote.by_threads import results_as_they_come
from ecellm.models.remote.client import Server
from ecellm.models.remote.service_form import (
    MODEL_HEADER,
    InvalidError,
    Part,
    RetryError,
    after_error,
    body_of,
    checked_key,
    checked_url,
    hash_of,
    headers,
    identity_in,
    parts,
    read,
    replies_in,
    retrying,
    task_of,
)
from ecellm.prompts import Prompt
from ecellm.types import Question

MODELS = "/v1/models"
#: Retries of the first request, which a slip in the address fails.
FIRST_RETRIES = 2


class ServiceGenerator:
    """A model behind a service."""

    def __init__(self, url: str, server: Server | None = None, key: str | None = None, pinned: bool = True):
        """Take the service's address; `key` stands instead of ECELLM_API_KEY's. Where it is `pinned`, all answers
        have to be of the model that `identity` names.

        Raises ConfigError for an address or a key that cannot be used.
        """
        self.url, self.server = checked_url(url), server or Server()
        self.connection = httpx2.Client(
            base_url=self.url, headers=headers(checked_key(key)), timeout=self.server.timeout
        )
        """Its connections, which are kept from one request to the next."""
        self.close = weakref.finalize(self, self.connection.close)
        self.counts: Counter[str] = Counter()
        self._pinned = pinned
        self._identity: dict[str, str] | None = None
        self._lock = threading.Lock()

    def identity(self) -> dict[str, str]:
        """Return what the answers depend on, as the service says; raises ServerError where it cannot be had."""
        if self._identity is None:
            retries = min(FIRST_RETRIES, self.server.retries)
            try:
                document, _ = self._retried(MODELS, retries, lambda: self._fetched("GET", MODELS))
            except (RetryError, InvalidError) as error:
                raise ServerError(f"{self.url} does not answer: {error}.") from error
            self._identity = identity_in(document, self.url)
        return self._identity

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return empty prompts: the service makes them."""
        return [Prompt("", []) for _ in questions]

    def reply(self, requests: Sequence[Request]) -> list[Reply | Failure]:
        """Answer a batch, in order."""
        replies = dict(self.stream(requests))
        return [replies[place] for place in range(len(requests))]

    def stream(
        self, requests: Sequence[Request], halt: threading.Event | None = None
    ) -> Iterator[tuple[int, Reply | Failure]]:
        """Send all questions, some in each request and several requests at a time, and yield answers as they come.

        Once `halt` is set no more are sent; requests in flight are still awaited, up to the timeout.
        Raises ConfigError for questions that were made from no row, and ServerError where the service does not accept
        the key, is none of ecellm's, or has another model meanwhile.
        """
        sent = list(parts([question_body(request) for request in requests]))

        def work(part: Part) -> list[tuple[int, Reply | Failure]]:
            return self._answer(part, [requests[place] for place in part.places])

        for found in results_as_they_come(sent, work, self.server.concurrency, halt, self.server.timeout):
            yield from found

    def remarks(self) -> list[str]:
        """Return remarks on the answers so far, a sentence each."""
        return [f"{what}: {count:,}." for what, count in sorted(self.counts.items()) if count]

    def _answer(self, part: Part, requests: Sequence[Request]) -> list[tuple[int, Reply | Failure]]:
        """Return the answers to the questions of one request; where the service calls some invalid, the others are
        sent once more."""
        path = task_of(requests[0]).address
        found: list[tuple[int, Reply | Failure]] = []
        while part.bodies:
            try:
                call = partial(self._replies, path, part, requests)
                replies = self._retried(part.key, self.server.retries, call)
            except (RetryError, InvalidError) as error:
                failures, part, requests = after_error(error, part, requests)
                found += failures
            else:
                return found + list(zip(part.places, replies, strict=True))
        return found

    def _replies(self, path: str, part: Part, requests: Sequence[Request]) -> list[Reply]:
        document, marked = self._fetched("POST", path, part.content)
        if self._pinned and marked != hash_of(self.identity()):
            raise ServerError(
                f"{self.url} has another model than when this run began, so its answers are not mixed in: name "
                "another output for the new model's answers."
            )
        return replies_in(document, requests)

    def _retried(self, prompt: str, retries: int, call: Callable[[], Any]) -> Any:
        return Retrying(**retrying(retries, prompt, self._count_retry))(call)

    def _fetched(self, method: str, path: str, content: bytes | None = None) -> tuple[Any, str | None]:
        """Return the JSON of a response and the mark of its model, read within the timeout; raises as `read`."""
        ends = time.monotonic() + self.server.timeout
        late = f"no answer within {self.server.timeout:g} s"
        body = bytearray()
        try:
            with self.connection.stream(method, path, content=content) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > ends:
                        raise RetryError(late)
        except httpx2.TimeoutException as error:
            raise RetryError(late) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise RetryError(f"the connection failed: {error}") from error
        document = read(response.status_code, response.headers, bytes(body), self.url)
        return document, response.headers.get(MODEL_HEADER)

    def _count_retry(self) -> None:
        with self._lock:
            self.counts["Requests retried after an error"] += 1


def connect(
    scheme: str, name: str, server: Server | None, decoding: Decoding, template: str | None, calibration: Path | None
) -> ServiceGenerator:
    """Return the generator of a service by its address without the scheme; raises ConfigError for options that its
    own start decides."""
    own = {
        "--template": template is not None,
        "--calibration": calibration is not None,
        "--precision, --parse and --max-new-tokens": decoding != Decoding(),
    }
    given = [option for option, is_given in own.items() if is_given]
    if given:
        raise ConfigError(f"A service decides itself how it answers: {given[0]} may be options of ecellm serve.")
    if server is not None and server.url is not None:
        raise ConfigError(f"{scheme}{name} is an address already: omit that of a server.")
    return ServiceGenerator(scheme + name, server)


def question_body(request: Request) -> bytes:
    """Return a question as JSON; raises ConfigError for one that was made from no row."""
    if request.given is None:
        raise ConfigError("A service answers questions that are made from rows: use ecellm ask.")
    return body_of(request.given)
