"""What `ecellm serve` takes and gives, as its clients see it: requests of questions, answers, and what errors mean.

Nothing here sends anything, so that clients of either kind, with threads or in an event loop, share it.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tenacity import RetryCallState, retry_if_exception_type, stop_after_attempt

from ecellm.errors import ConfigError, ServerError
from ecellm.io.hashing import keyed_hash
from ecellm.models.base import Failure, Reply, Request
from ecellm.models.remote.client import LONGEST_WAIT, pause
from ecellm.tasks import TASKS, Task
from ecellm.tasks.records import nested

KEY = "ECELLM_API_KEY"
#: The header that identifies the model of an answer.
MODEL_HEADER = "X-Model-Hash"
#: Questions in a request, and its bytes. Small requests keep several workers busy, and little is lost with one.
MOST_QUESTIONS, MOST_BYTES = 16, 2**20
#: Statuses after which a request is sent again.
RETRIED = (408, 429, 500, 502, 503, 504)
#: Statuses of a request whose questions are at fault.
INVALID = (400, 413, 422)


class RetryError(Exception):
    """A request that is to be sent again."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait
        """The seconds that the service asks to wait."""


class InvalidError(Exception):
    """A request whose questions the service does not accept."""

    def __init__(self, reason: str, by_place: Mapping[int, str]):
        super().__init__(reason)
        self.by_place = by_place
        """What is wrong, by the question's place in the request, where the service names places."""


@dataclass(frozen=True)
class Part:
    """The questions of one request."""

    places: list[int]
    """Their places among all."""
    bodies: list[bytes]

    @property
    def key(self) -> str:
        """What tells it from other requests, for the jitter of its retries."""
        return keyed_hash("part", *(body.decode() for body in self.bodies))

    @property
    def content(self) -> bytes:
        """The request's body."""
        return b'{"questions":[' + b",".join(self.bodies) + b"]}"


def checked_key(key: str | None) -> str | None:
    """Return the key, or the first of ECELLM_API_KEY; raises ConfigError for what can be in no header."""
    found = (os.environ.get(KEY, "").split(",")[0] if key is None else key).strip()
    if not (found.isascii() and found.isprintable()):
        raise ConfigError(f"The key of the service has signs that no header can hold: look at {KEY}.")
    return found or None


def checked_url(url: str) -> str:
    """Return the address of a service without a / at its end; raises ConfigError where it is none."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError("The service's address is invalid: it is http:// or https://, a host, and its port.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"Remove passwords and query strings from the service's address; the key comes from {KEY}.")
    return url.rstrip("/")


def body_of(given: Mapping[str, object]) -> bytes:
    """Return a question as JSON, from all columns of its task: texts, lists of texts, None where nothing is given."""
    singles = [name for name, value in given.items() if not isinstance(value, list)]
    row = {name: value for name, value in given.items() if value is not None}
    return json.dumps(nested(singles, row), ensure_ascii=False).encode()


def parts(bodies: Sequence[bytes]) -> Iterator[Part]:
    """Yield the questions in requests."""
    part = Part([], [])
    size = 0
    for place, body in enumerate(bodies):
        if part.bodies and (len(part.bodies) == MOST_QUESTIONS or size + len(body) > MOST_BYTES):
            yield part
            part, size = Part([], []), 0
        part.places.append(place)
        part.bodies.append(body)
        size += len(body)
    if part.bodies:
        yield part


def read(status: int, headers: Mapping[str, str], body: bytes, url: str) -> Any:
    """Return the JSON of a response.

    Raises RetryError and InvalidError, and ServerError for what every further request would meet.
    """
    document = _json(body)
    if status == 200 and document is not None:
        return document
    detail = _detail(document)
    if status in RETRIED:
        wait = headers.get("retry-after", "")
        raise RetryError(f"the service answered {status}: {detail}", float(wait) if wait.isdigit() else None)
    if status == 401:
        raise ServerError(f"{url} does not accept the key: set {KEY} to one of the service's keys.")
    if status in INVALID and document is not None:
        raise InvalidError(detail, _by_place(document))
    if status == 404:
        raise ServerError(f"{url} is no service of ecellm, or its model does not answer this task ({detail}).")
    raise ServerError(f"{url} answered {status}, which is no service of ecellm's own answer ({detail}).")


def identity_in(document: Any, url: str) -> dict[str, str]:
    """Return what a service's answers depend on, from its list of models; raises ServerError where it is missing."""
    try:
        found = document["data"][0]["identity"]
        if found and all(isinstance(part, str) for pair in found.items() for part in pair):
            return dict(found)
    except (LookupError, TypeError, AttributeError):
        pass
    raise ServerError(f"{url} is no service of ecellm, or of an older version: its /v1/models identifies no model.")


def hash_of(identity: Mapping[str, str]) -> str:
    """Return the hash by which a service marks the answers of a model."""
    return keyed_hash("model", *(part for pair in sorted(identity.items()) for part in pair))


def answers_in(document: Any, count: int) -> list[Mapping[str, Any]]:
    """Return the answers of a response; raises RetryError where it has not so many."""
    found = document.get("answers") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) != count or not all(isinstance(one, dict) for one in found):
        raise RetryError("the response is not the answers of a service")
    return found


def reply_of(task: Task, request: Request, answer: Mapping[str, Any]) -> Reply:
    """Return an answer as the model's reply, which is read as a local model's; raises RetryError where it is none."""
    example, given = request.question.example, request.given
    assert given is not None
    names: dict[str, str] = {}
    for candidate in task.answer.candidates(example) or ():
        names.setdefault(task.name_of(candidate, example, given), candidate)
    try:
        shares = answer["probabilities"]
        scores = None if shares is None else {names[name]: float(share) for name, share in shares.items()}
        probability = answer["probability"]
        return Reply(
            str(answer["text"]),
            None if probability is None else float(probability),
            scores,
            near_tie=bool(answer["near_tie"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RetryError("the response has another form than a service's answers") from error


def replies_in(document: Any, requests: Sequence[Request]) -> list[Reply]:
    """Return the replies in a response; raises RetryError where it is none to these questions."""
    answers = answers_in(document, len(requests))
    return [reply_of(task_of(one), one, answer) for one, answer in zip(requests, answers, strict=True)]


def after_error(
    error: RetryError | InvalidError, part: Part, requests: Sequence[Request]
) -> tuple[list[tuple[int, Failure]], Part, list[Request]]:
    """Return the questions of a request that fail because of an error, and those that are to be sent without them:
    where some are invalid, the others."""
    if isinstance(error, RetryError):
        return [(place, Failure(str(error))) for place in part.places], Part([], []), []
    named = {place: reason for place, reason in error.by_place.items() if place < len(part.places)}
    invalid = named or dict.fromkeys(range(len(part.places)), str(error))
    kept = [place for place in range(len(part.places)) if place not in invalid]
    left = Part([part.places[place] for place in kept], [part.bodies[place] for place in kept])
    found = [(part.places[place], Failure(reason, invalid=True)) for place, reason in invalid.items()]
    return found, left, [requests[place] for place in kept]


def task_of(request: Request) -> Task:
    """Return the task of a request."""
    return TASKS[request.question.example.task]


def headers(key: str | None) -> dict[str, str]:
    """Return the headers of every request."""
    own = {"Content-Type": "application/json"}
    return own if key is None else {**own, "Authorization": f"Bearer {key}"}


def retrying(retries: int, prompt: str, retried: Callable[[], None]) -> dict[str, Any]:
    """Return tenacity's arguments for a request; `retried` is called before it is sent again."""
    return {
        "stop": stop_after_attempt(retries + 1),
        "wait": partial(_wait, prompt),
        "retry": retry_if_exception_type(RetryError),
        "before_sleep": lambda state: retried(),
        "reraise": True,
    }


def _wait(prompt: str, state: RetryCallState) -> float:
    """Return the seconds until a request is sent again: growing ones, or as many as the service asks for."""
    error = state.outcome.exception() if state.outcome is not None else None
    wanted = error.wait if isinstance(error, RetryError) and error.wait is not None else 0.0
    return max(min(wanted, LONGEST_WAIT), pause(prompt, state.attempt_number - 1))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _detail(document: Any) -> str:
    """Return the service's own sentence on an error."""
    found = document.get("detail") if isinstance(document, dict) else None
    return " ".join(str(found).split())[:500].rstrip(".") if found else "without a reason"


def _by_place(document: Any) -> dict[int, str]:
    """Return what is wrong with questions, by their place in the request."""
    found: dict[int, str] = {}
    for error in document.get("errors") or () if isinstance(document, dict) else ():
        pointer = str(error.get("pointer", "")) if isinstance(error, dict) else ""
        root, _, rest = pointer.removeprefix("#/").partition("/")
        place = rest.partition("/")[0]
        if root == "questions" and place.isdigit():
            detail = str(error.get("detail", "")).removeprefix(f"questions.{place}.")
            found.setdefault(int(place), detail)
    return found
