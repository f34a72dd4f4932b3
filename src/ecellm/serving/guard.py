"""What every request passes first: its key, size and form are checked before anything of it is parsed further.

The guard also watches the connection: where a client goes away, what is done for it is cancelled. It counts and logs
each request, and turns whatever goes wrong into problem details, so that no text of a request reaches the log.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecellm.serving.keys import Keys
from ecellm.serving.page_access import COOKIE_PATHS, FORM_PATHS, FORMS, SIGN_IN, needs_no_key, signed_in
from ecellm.serving.problems import Kind, ProblemError
from ecellm.serving.service import Service

logger = logging.getLogger(__name__)

#: Headers of a request, and their bytes.
MAX_HEADERS, MAX_HEADER_BYTES = 100, 32 * 1024
#: Seconds that a body may take to arrive.
BODY_SECONDS = 20.0
#: Bytes of a form that signs in, which comes from clients without a key.
MAX_SIGN_IN = 4096
Headers = Sequence[tuple[bytes, bytes]]
#: What needs no key, and is answered whatever state the service is in: probes.
OPEN_PATHS = ("/healthz", "/readyz")
#: What is answered while there is no model.
QUIET_PATHS = (*OPEN_PATHS, "/metrics", "/docs", "/openapi.json")
#: Logged, and counted, of a client that went away.
GONE = 499


@dataclass
class Allowed:
    """What a service accepts."""

    keys: Keys = field(default_factory=Keys)
    max_body: int = 4 * 2**20
    """Bytes."""
    body_seconds: float = BODY_SECONDS


@dataclass
class _Seen:
    """What is known of a request once it is over."""

    identity: str
    began: float
    status: int = 0
    problem: Kind | None = None
    started: bool = False
    """Whether the response has begun."""


class Guard:
    """An ASGI application around the service's own."""

    def __init__(self, app: ASGIApp, service: Service, allowed: Allowed):
        self.app, self.service, self.allowed = app, service, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        seen = _Seen(uuid.uuid4().hex, time.monotonic())
        scope.setdefault("state", {})["seen"] = seen
        self.service.under_way += 1
        self.service.metrics.under_way.inc()
        try:
            await self._guarded(scope, receive, self._sender(seen, send))
        finally:
            self.service.under_way -= 1
            self.service.metrics.under_way.dec()
            self._record(scope, seen)

    def _sender(self, seen: _Seen, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status, seen.started = message["status"], True
                headers = [*message.get("headers", ()), (b"x-request-id", seen.identity.encode())]
                if self.service.state == "draining":
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        return sending

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen: _Seen = scope["state"]["seen"]
        try:
            self._check_head(scope)
            body = await self._body(scope, receive) if scope["method"] in ("POST", "PUT", "PATCH") else b""
            await self._watched(scope, receive, send, body)
        except ProblemError as problem:
            seen.problem = problem.kind
            await problem.response(scope["path"])(scope, receive, send)
        except _GoneError:
            seen.status = GONE
        except Exception:
            seen.problem = "internal"
            logger.exception("internal error", extra={"id": seen.identity})
            if not seen.started:
                wrong = ProblemError("internal", f"The service made a mistake; its log has it as {seen.identity}.")
                await wrong.response(scope["path"])(scope, receive, send)

    def _check_head(self, scope: Scope) -> None:
        """Raise ProblemError for a request that is refused whatever its body is."""
        path, headers = scope["path"], scope["headers"]
        if len(headers) > MAX_HEADERS:
            raise ProblemError(
                "too-many-headers", f"The request has {len(headers)} headers: {MAX_HEADERS} are enough."
            )
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
            raise ProblemError("too-many-headers", f"The headers have more than {MAX_HEADER_BYTES:,} bytes.")
        scope["state"]["authorised"] = self._is_authorised(path, headers)
        if not (scope["state"]["authorised"] or path in OPEN_PATHS or needs_no_key(scope["method"], path)):
            raise ProblemError(
                "unauthorized",
                "Send one of the service's keys as the header Authorization: Bearer KEY.",
                headers={"WWW-Authenticate": "Bearer"},
                code="invalid_api_key",
            )
        if path not in QUIET_PATHS and not self.service.is_ready:
            raise unavailable(self.service)

    def _is_authorised(self, path: str, headers: Headers) -> bool:
        """Say whether a request has a key or, where the page's cookie is accepted, a session."""
        keys = self.allowed.keys
        return keys.accept(_header(headers, b"authorization")) or (path in COOKIE_PATHS and signed_in(headers, keys))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read a body; raises ProblemError where it is too large, too slow, or no JSON that is read safely."""
        headers, path = scope["headers"], scope["path"]
        most = min(self.allowed.max_body, MAX_SIGN_IN) if path == SIGN_IN else self.allowed.max_body
        encoding = _header(headers, b"content-encoding")
        if encoding not in (None, b"", b"identity"):
            raise ProblemError("unsupported-media-type", "Send the body as it is, without a Content-Encoding.")
        length = _header(headers, b"content-length")
        too_large = ProblemError(
            "too-large", f"The body has more than {most:,} bytes: send fewer questions at a time."
        )
        if length is not None and length.isdigit() and int(length[:20]) > most:
            raise too_large
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.allowed.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise too_large
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            wanted = f"The body did not arrive within {self.allowed.body_seconds:g} seconds."
            raise ProblemError("timeout", wanted, headers={"Connection": "close"}) from None
        check = _checked_form if path in FORM_PATHS else _checked
        return check(b"".join(parts), _header(headers, b"content-type"))

    async def _watched(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """Answer a request whose body was read; raises _GoneError where its client goes away first."""
        gone = asyncio.Event()
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if pending:
                return pending.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        answering = asyncio.ensure_future(self.app(scope, replay, send))
        watching = asyncio.ensure_future(watch())
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and not scope["state"]["seen"].started:
                raise _GoneError
            await answering
        finally:
            for task in (answering, watching):
                if not task.done():
                    task.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)

    def _record(self, scope: Scope, seen: _Seen) -> None:
        """Count and log a request."""
        state, metrics = scope["state"], self.service.metrics
        path = getattr(scope.get("route"), "path", None) or (
            scope["path"] if scope["path"] in QUIET_PATHS else "other"
        )
        seconds = time.monotonic() - seen.began
        metrics.requests.labels(path, str(seen.status)).inc()
        metrics.seconds.labels(path).observe(seconds)
        problem = state.get("problem") or seen.problem
        if problem or seen.status == GONE:
            metrics.errors.labels(problem or "client-gone").inc()
        if path in QUIET_PATHS and seen.status == 200:
            return
        about = {"id": seen.identity, "method": scope["method"], "path": path, "status": seen.status}
        about |= {"milliseconds": round(1000 * seconds, 1), "questions": state.get("questions"), "problem": problem}
        logger.info("request", extra=about)


class _GoneError(Exception):
    """The client went away."""


def unavailable(service: Service) -> ProblemError:
    """Return the problem of a service that has no model to ask."""
    why = {"starting": "The model is being loaded.", "draining": "The service is shutting down."}
    detail = why.get(service.state, "The model is not available; see the service's log.")
    return ProblemError("unavailable", detail, headers={"Retry-After": "5"})


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)


def _checked(body: bytes, kind: bytes | None) -> bytes:
    """Return a body that is JSON; raises ProblemError for NaN, lone surrogates, deep nesting and what is no JSON."""
    if not body:
        return body
    if _media(kind) != b"application/json":
        wanted = "Send the body as JSON, with the header Content-Type: application/json."
        raise ProblemError("unsupported-media-type", wanted)
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ProblemError("invalid-json", f"The body is no valid JSON: {error}.") from None
    return body


def _checked_form(body: bytes, kind: bytes | None) -> bytes:
    """Return a body that a form of the page sends; raises ProblemError for one of another media type."""
    if body and _media(kind) not in FORMS:
        raise ProblemError("unsupported-media-type", "This address takes what the page's own forms send.")
    return body


def _media(kind: bytes | None) -> bytes:
    return (kind or b"").partition(b";")[0].strip().lower()
