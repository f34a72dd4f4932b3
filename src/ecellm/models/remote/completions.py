"""Reading chat completions: the answer, its token counts, and the likeliest tokens in each place."""

import json
import math
import re
from dataclasses import dataclass, field

from ecellm.models.base import Usage

_BEFORE_VALUE = re.compile(r'\{\s*"answer"\s*:\s*"?')


@dataclass(frozen=True)
class Completion:
    """A chat completion."""

    content: str
    usage: Usage | None
    tokens: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    """Each token with the likeliest in its place and their probabilities, where they were given."""
    truncated: bool = False
    """Whether it ended at the token limit."""


class NoCompletionError(Exception):
    """A response is not a chat completion."""


def answer_in(content: str) -> str | list[object] | None:
    """Return the answer in the object that `answer_schema` asks for, or None where the text is no such object."""
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        return None
    value = read.get("answer") if isinstance(read, dict) and set(read) == {"answer"} else None
    return value if isinstance(value, str | list) else None


def first_tokens(completion: Completion) -> dict[str, float] | None:
    """Return the likeliest tokens (with their probabilities) at the place where the answer itself begins."""
    before = _BEFORE_VALUE.match(completion.content)
    start = before.end() if before else len(completion.content) - len(completion.content.lstrip())
    begin = 0
    for token, likely in completion.tokens:
        if begin + len(token) > start:
            lead = token[: start - begin]
            return {one.removeprefix(lead): share for one, share in likely.items() if one.startswith(lead)}
        begin += len(token)
    return None


def read_completion(raw: bytes) -> Completion:
    """Return a chat completion; raises NoCompletionError where the bytes are none."""
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message = choice["message"]
        content = message.get("content") or message.get("refusal") or ""
        tokens = [
            (one["token"], {other["token"]: math.exp(other["logprob"]) for other in one["top_logprobs"]})
            for one in (choice.get("logprobs") or {}).get("content") or ()
        ]
        counted = body.get("usage")
        usage = Usage(int(counted["prompt_tokens"]), int(counted["completion_tokens"])) if counted else None
        if not isinstance(content, str):
            raise TypeError
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise NoCompletionError from error
    return Completion(content, usage, tokens, choice.get("finish_reason") == "length")
