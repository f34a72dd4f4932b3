"""The client of an OpenAI-compatible server: address and key, retries with backoff, and the meaning of errors.

The key comes from the environment only and is in no message, record or file.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from ecellm.errors import ConfigError, ModelError, ServerError
from ecellm.io.hashing import keyed_number
from ecellm.models.base import Failure
from ecellm.models.remote.completions import Completion, NoCompletionError, read_completion, reason_in
from ecellm.models.remote.request_form import Body

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

INSTALL = "Servers need the openai client: pip install 'ecellm[openai]'."
KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
#: What stands for the key where a server needs none.
NO_KEY = "none"

#: Codes that every further request would get.
PAYMENT_REQUIRED, NO_QUOTA = 402, "insufficient_quota"

#: Backoff in seconds, at first and at most; it doubles.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0

#: Seconds that a server may ask to wait; the client waits no longer than this.
LONGEST_WAIT = 120


@dataclass(frozen=True)
class Server:
    """How a server is reached."""

    url: str | None = None
    """Its address, such as http://localhost:8000/v1; None: the environment's, or OpenAI's."""
    concurrency: int = 8
    """Requests in flight at a time."""
    timeout: float = 60.0
    """Seconds that an answer may take."""
    retries: int = 6
    """How often a request is retried after 429, 5xx, a timeout or a broken connection; waits double from half a
    second to eight, with jitter, unless the server says how long (up to two minutes)."""


class _BrokenOffError(Exception):
    """A response began and did not end."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error
        """The error that the client raises for a response that did not begin."""


class ChatClient:
    """Fetches chat completions, with retries."""

    def __init__(self, name: str, server: Server, repeated: Callable[[int], None]):
        """Take the model's name at the server; `repeated` is called with the number of retries.

        Raises ModelError where the openai client is not installed, ConfigError for an address that is invalid or
        holds a password.
        """
        self.name, self.server, self._repeated = name, server, repeated
        self._key = os.environ.get(KEY) or NO_KEY
        try:
            import openai
        except ImportError as error:
            raise ModelError(INSTALL) from error
        self._openai = openai
        url = server.url or os.environ.get(ADDRESS) or None
        if url is not None:
            _check_address(url)
        self.connect = partial(
            openai.OpenAI,
            api_key=self._key,
            base_url=url,
            timeout=server.timeout,
            max_retries=server.retries,
        )
        """Open the connections of one run; the caller closes them."""
        self.refusals = (openai.BadRequestError, openai.UnprocessableEntityError)
        """Raised for a request that needs more than the server supports."""
        with self.connect() as client:
            self.url = str(client.base_url)

    def completion(self, connection: "OpenAI", body: Body) -> Completion:
        """Fetch a completion, with the client's retries; a response that is not a completion is retried as often.

        Raises what the client raises, and NoCompletionError.
        """

        def wait(state: RetryCallState) -> float:
            return pause(body["messages"][-1]["content"], state.attempt_number - 1)

        attempts = Retrying(
            stop=stop_after_attempt(self.server.retries + 1),
            wait=wait,
            retry=retry_if_exception_type((NoCompletionError, _BrokenOffError)),
            before_sleep=lambda state: self._repeated(1),
            reraise=True,
        )
        try:
            return attempts(lambda: read_completion(self._fetched(connection, body)))
        except _BrokenOffError as broken:
            raise broken.error from broken

    def failure(self, error: Exception) -> Failure:
        """Return the failure that an error means for one question.

        Raises ServerError where every request would fail with it, and the error itself where no server caused it.
        """
        if isinstance(error, self._openai.APIStatusError):
            return self._status(error)
        if isinstance(error, self._openai.APITimeoutError):
            return Failure(f"no answer within {self.server.timeout:g} s")
        if isinstance(error, self._openai.APIConnectionError):
            return Failure(f"the connection to {self.url} failed: {self._clean(str(error.__cause__ or error))}")
        if isinstance(error, NoCompletionError):
            reason = self._clean(str(error))
            return Failure(
                f"the server returned an error: {reason}" if reason else "the response is not a chat completion"
            )
        raise error

    def _fetched(self, connection: "OpenAI", body: Body) -> bytes:
        """Return the response; raises _BrokenOffError for one that begins and does not end, and NoCompletionError for
        one that cannot be decoded."""
        try:
            return self._read(connection, body)
        except httpx2.DecodingError as error:
            raise NoCompletionError(f"the body is not what its Content-Encoding says ({error})") from error

    def _read(self, connection: "OpenAI", body: Body) -> bytes:
        """Return the response, read within the timeout: a server that sends a byte now and then keeps a connection
        alive for ever."""
        with connection.chat.completions.with_streaming_response.create(**body) as raw:
            if raw.retries_taken:
                self._repeated(raw.retries_taken)
            ends = time.monotonic() + self.server.timeout
            read = bytearray()
            request = raw.http_request
            try:
                for piece in raw.iter_bytes():
                    read += piece
                    if time.monotonic() > ends:
                        raise _BrokenOffError(self._openai.APITimeoutError(request=request))
            except httpx2.TimeoutException as error:
                raise _BrokenOffError(self._openai.APITimeoutError(request=request)) from error
            except httpx2.TransportError as error:
                broken = self._openai.APIConnectionError(message=str(error), request=request)
                raise _BrokenOffError(broken) from error
            finally:
                if connection.is_closed():  # while this connection was being made, which it then forgot
                    raw.http_response.extensions["network_stream"].close()
            return bytes(read)

    def _status(self, error: "APIStatusError") -> Failure:
        """Return the failure that a status means; raises ServerError where every request would get it."""
        message = self._clean(reason_in(error.body) or error.message)
        if error.status_code in (401, 403):
            raise ServerError(
                f"{self.url} does not accept the key: set {KEY} to one that may use {self.name} ({message})."
            )
        if error.status_code == 404:
            raise ServerError(f"{self.url} has no model {self.name!r}, or no chat completions ({message}).")
        wait = error.response.headers.get("retry-after", "")
        if wait.isdigit() and int(wait) > LONGEST_WAIT:
            raise ServerError(
                f"{self.url} asks to wait for {int(wait):,} s ({message}): run the command again then; it resumes."
            )
        if error.status_code == PAYMENT_REQUIRED or error.code == NO_QUOTA:
            raise ServerError(f"{self.url} requires payment ({message}).")
        return Failure(f"the server returned {error.status_code}: {message}")

    def _clean(self, message: str) -> str:
        """Return the beginning of a message on one line, without the key."""
        plain = message if self._key == NO_KEY else message.replace(self._key, f"[{KEY}]")
        return " ".join(plain.split())[:200].rstrip(". ")


def pause(prompt: str, tries: int) -> float:
    """Return the seconds of backoff after so many tries, as the client's own after other errors.

    The jitter is drawn by the keyed hash of the prompt.
    """
    jitter = 1 - 0.25 * keyed_number("pause", prompt, tries)
    return min(FIRST_PAUSE * 2**tries, LONGEST_PAUSE) * jitter


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        raise ConfigError("The server's address is invalid: it begins with http:// or https:// and names a host.")
    if parts.username or parts.password or parts.query:
        raise ConfigError(f"Remove passwords and query strings from the server's address; the key comes from {KEY}.")
