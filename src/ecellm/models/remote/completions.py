"""Reading chat completions: the answer, its token counts, and the likeliest tokens in each place.

Only the content decides whether there is an answer. Token counts and log-probabilities are taken where they are
complete.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ecellm.models.base import Usage

_KEY = re.compile(r'"answer"\s*:\s*"?')
#: Tokens that may stand behind the content: the end of a turn, such as <|im_end|> or </s>, and blanks.
_END = re.compile(rb"\s*(<[^<>]*>\s*)?")
_THINKING = re.compile(r".*</(?:think|thinking|thought|reasoning)>", re.DOTALL)
_FENCE = re.compile(r"\s*```[\w-]*\s*?\n(.*?)\n?\s*```\s*", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """One token of a completion."""

    data: bytes
    """Its UTF-8 bytes; a character may be divided among tokens."""
    likely: dict[str, float]
    """The likeliest tokens in its place with their probabilities, NaN for one that the server gives none for."""


@dataclass(frozen=True)
class Completion:
    """A chat completion."""

    content: str
    usage: Usage | None
    """None where the server does not count both."""
    tokens: list[Token] = field(default_factory=list)
    """Of the content and whatever else the server lists; empty where it gives no log-probabilities."""
    truncated: bool = False
    """Whether it ended at the token limit."""


class NoCompletionError(Exception):
    """A response is not a chat completion; its text is the server's reason, empty where it gives none."""


def unwrapped(content: str) -> str:
    """Return a content without the thinking before it and without the code fence around it, where it has them."""
    text = content[found.end() :] if (found := _THINKING.match(content)) else content
    return (fenced[1] if (fenced := _FENCE.fullmatch(text)) else text).strip()


def answer_in(content: str, more_keys: bool = False) -> object:
    """Return the answer in the object that `answer_schema` asks for, or None where the text is no such object;
    `more_keys` takes an object with others beside the answer. An answer that is given twice is none."""
    try:
        read = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or (set(read) != {"answer"} and not more_keys):
        return None
    return read.get("answer")


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def first_tokens(completion: Completion, answer: str | None = None) -> tuple[str, dict[str, float]] | None:
    """Return the token that the answer begins with, and the likeliest tokens (with their probabilities) in its place.

    `answer` is the part of the content that holds it (None: all). Return None where the tokens do not spell the
    content.
    """
    content = completion.content.strip()
    text = content if answer is None else answer
    keys = list(_KEY.finditer(text)) if text.startswith("{") else []
    start = content.rfind(text) + (keys[-1].end() if keys else 0)
    begin = _content_begins(completion.tokens, _utf8(content))
    if begin is None:
        return None
    place = begin + len(_utf8(content[:start]))
    for token in completion.tokens:
        if place < len(token.data):
            lead = token.data[:place].decode("utf-8", "replace").lstrip()
            return token.data[place:].decode("utf-8", "replace"), _behind(lead, token.likely)
        place -= len(token.data)
    return None


def _content_begins(tokens: list[Token], content: bytes) -> int | None:
    """Return where the content begins in the tokens' bytes, found from their end: a server may list the tokens of the
    reasoning before it, too."""
    said = [token.data for token in tokens]
    while said:
        whole = b"".join(said).rstrip()
        if whole.endswith(content):
            return len(whole) - len(content)
        if not _END.fullmatch(said.pop()):
            return None
    return None


def _behind(lead: str, likely: Mapping[str, float]) -> dict[str, float]:
    """Return the tokens that begin as this one does before the answer, without that beginning."""
    found: dict[str, float] = {}
    for token, share in likely.items():
        if (plain := token.lstrip()).startswith(lead):
            rest = plain.removeprefix(lead)
            found[rest] = found.get(rest, 0.0) + share
    return found


def read_completion(raw: bytes) -> Completion:
    """Return a chat completion; raises NoCompletionError where the bytes are none."""
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message = choice["message"]
        content = _text(message.get("content")) or _text(message.get("refusal"))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise NoCompletionError(_error_in(raw)) from error
    if not content and choice.get("error"):
        raise NoCompletionError(reason_in(choice["error"]) or "")
    return Completion(content, _usage(body.get("usage")), _tokens(choice), choice.get("finish_reason") == "length")


def reason_in(stated: object) -> str | None:
    """Return the text in a server's statement of an error, whatever form it has: a text, an object, or a list."""
    if isinstance(stated, str):
        return stated.strip() or None
    if isinstance(stated, list):
        return "; ".join(filter(None, map(reason_in, stated))) or None
    if isinstance(stated, dict):
        parts = (reason_in(stated.get(key)) for key in ("message", "error", "detail", "msg"))
        return next(filter(None, parts), None)
    return None


def _error_in(raw: bytes) -> str:
    """Return the reason that a response without a completion states; empty where it states none."""
    try:
        return reason_in(json.loads(raw)) or ""
    except (ValueError, RecursionError):
        return ""


def _text(content: object) -> str:
    """Return a content as a text: it may be a list of parts, of which those of text count, not those of thinking.

    Raises TypeError for anything else.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise TypeError
    return "".join(_text(part["text"] if isinstance(part, dict) else part) for part in content if _is_text(part))


def _is_text(part: object) -> bool:
    return not isinstance(part, dict) or isinstance(part.get("text"), str)


def _usage(counted: object) -> Usage | None:
    """Return the token counts; None where one is missing and the total does not tell it."""
    if not isinstance(counted, dict):
        return None
    read, written, total = (counted.get(f"{name}_tokens") for name in ("prompt", "completion", "total"))
    if written is None and isinstance(read, int) and isinstance(total, int):
        written = total - read
    if isinstance(read, int) and isinstance(written, int) and min(read, written) >= 0:
        return Usage(read, written)
    return None


def _tokens(choice: Mapping[str, object]) -> list[Token]:
    """Return the tokens with their log-probabilities; none where a token is no token."""
    listed = choice.get("logprobs")
    try:
        return [_token(one) for one in (listed.get("content") or () if isinstance(listed, dict) else ())]
    except (ValueError, TypeError, LookupError, AttributeError):
        return []


def _token(one: Mapping[str, object]) -> Token:
    text, data, likely = one["token"], one.get("bytes"), one.get("top_logprobs")
    if not isinstance(text, str):
        raise TypeError
    found = {}
    for other in likely if isinstance(likely, list) else ():
        log = other.get("logprob")
        known = isinstance(log, int | float) and not math.isnan(log)
        found[str(other["token"])] = math.exp(min(log, 0.0)) if known else math.nan
    return Token(bytes(data) if isinstance(data, list) else _utf8(text), found)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
