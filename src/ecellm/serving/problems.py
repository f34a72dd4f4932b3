"""Errors as RFC 9457 problem details: one JSON form for whatever goes wrong, naming the field where one is wrong.

Addresses that speak OpenAI's conventions carry its `error` object beside them, which RFC 9457 permits as an
extension: clients of either kind find what they look for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from ecellm.serving.page_access import PAGE_PATHS
from ecellm.serving.templates import page

MEDIA_TYPE = "application/problem+json"
#: Before the kind of a problem, in its type.
URN = "urn:ecellm:problem:"
#: Addresses that clients of OpenAI's conventions ask.
OPENAI_PATHS = ("/v1/chat/", "/v1/models")

#: The most fields that one problem lists.
MOST_LISTED = 20
#: Parts of a field's place that are shown.
MOST_PARTS, LONGEST_PART = 8, 60
#: The message on a field, by pydantic's type of the error, where pydantic's own names Python's types.
MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "model_attributes_type": "should be an object",
    "model_type": "should be an object",
    "list_type": "should be a list",
    "string_type": "should be a text",
    "string_pattern_mismatch": "is empty",
    "string_too_short": "is empty",
}

Kind = Literal[
    "invalid-request",
    "invalid-json",
    "unauthorized",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "timeout",
    "too-large",
    "unsupported-media-type",
    "too-many-headers",
    "queue-full",
    "unsupported-by-model",
    "no-answer",
    "unavailable",
    "internal",
]
#: Each kind's status, title, and type in OpenAI's form.
KINDS: Mapping[Kind, tuple[int, str, str]] = {
    "invalid-request": (422, "The request is invalid", "invalid_request_error"),
    "invalid-json": (400, "The body is no valid JSON", "invalid_request_error"),
    "unauthorized": (401, "A valid API key is needed", "authentication_error"),
    "forbidden": (403, "This is not permitted", "permission_error"),
    "not-found": (404, "There is nothing at this address", "invalid_request_error"),
    "method-not-allowed": (405, "This address takes another method", "invalid_request_error"),
    "timeout": (408, "The request took too long to arrive", "invalid_request_error"),
    "too-large": (413, "The request is too large", "invalid_request_error"),
    "unsupported-media-type": (415, "The body has another form than this address takes", "invalid_request_error"),
    "too-many-headers": (431, "The request has too many headers", "invalid_request_error"),
    "queue-full": (429, "Too many questions are waiting", "rate_limit_error"),
    "unsupported-by-model": (400, "This model cannot do that", "invalid_request_error"),
    "no-answer": (502, "The model gave no answer", "server_error"),
    "unavailable": (503, "The service is not ready", "server_error"),
    "internal": (500, "Internal error", "server_error"),
}
#: Kinds by the status of an error that comes from the framework.
BY_STATUS: Mapping[int, Kind] = {status: kind for kind, (status, _, _) in reversed(list(KINDS.items()))}


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    pointer: Annotated[str, Field(description="Where in the body, as a JSON pointer.", examples=["#/product_1"])]
    detail: Annotated[str, Field(description="What is wrong there.")]


class ProblemDetails(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    # OpenAI's form is added on some addresses.
    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(description=f"The kind of problem: {URN} and one of {', '.join(KINDS)}.")]
    title: Annotated[str, Field(description="The kind of problem in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What went wrong this time, and what to do.")]
    errors: Annotated[list[FieldError], Field(description="The fields that are wrong, if any.")] = []


@dataclass
class ProblemError(Exception):
    """A request that ends in problem details."""

    kind: Kind
    detail: str
    """One sentence for the client; it never quotes the request's texts."""
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] | None = None
    code: str | None = None
    """OpenAI's code of the error, where it has one."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind][0]

    def response(self, path: str) -> Response:
        """Return the response to a request of a path: problem details or, for browsers, a page that says the same."""
        status, title, openai_type = KINDS[self.kind]
        if path in PAGE_PATHS:
            about = {"heading": title, "detail": self.detail, "again": self.kind == "unavailable"}
            return page("page_message.html.j2", status, self.headers, **about)
        made = ProblemDetails(
            type=URN + self.kind, title=title, status=status, detail=self.detail, errors=list(self.errors)
        )
        if path.startswith(OPENAI_PATHS):
            field = self.errors[0].pointer.removeprefix("#/").replace("/", ".") if self.errors else None
            form = {"message": self.detail, "type": openai_type, "param": field, "code": self.code}
            made = made.model_copy(update={"error": form})
        return Response(made.model_dump_json(), status, headers=dict(self.headers or {}), media_type=MEDIA_TYPE)


def several_invalid(errors: Sequence[FieldError]) -> ProblemError:
    """Return the problem of fields that are wrong, at least one; not all of very many are listed."""
    more = f" ({len(errors) - 1} more are invalid.)" if len(errors) > 1 else ""
    return ProblemError("invalid-request", errors[0].detail + more, errors[:MOST_LISTED])


def invalid_body(errors: Sequence[Mapping[str, Any]], body: object) -> ProblemError:
    """Return the problem of a body with pydantic's errors, naming its fields and quoting no value; the first part of
    an error's place is left out."""
    found: dict[str, FieldError] = {}
    for one in errors:
        place = _place(one, body)
        message = MESSAGES.get(one["type"]) or one["msg"][:1].lower() + one["msg"][1:]
        pointer = "#" + "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in place)
        # Of a field that may be one of several things, the first that it is not.
        found.setdefault(pointer, FieldError(pointer=pointer, detail=f"{'.'.join(place) or 'The body'}: {message}."))
    # Where one of those forms was gone into, what is wrong inside it says more.
    outer = {pointer for pointer in found if any(other.startswith(pointer + "/") for other in found)}
    return several_invalid([one for pointer, one in found.items() if pointer not in outer])


def _place(error: Mapping[str, Any], body: Any) -> list[str]:
    """Return where in the body an error is: pydantic's place also names the forms that were tried on the way."""
    _, *loc = error["loc"]
    place, value = [], body
    for number, part in enumerate(loc):
        inside = isinstance(value, Mapping) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
        elif not (error["type"] == "missing" and number == len(loc) - 1):
            continue
        place.append(str(part)[:LONGEST_PART])
    return place[:MOST_PARTS]
