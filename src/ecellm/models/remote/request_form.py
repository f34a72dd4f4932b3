"""The body of a chat request: the messages, and the features that a server may refuse."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecellm.models.base import Decoding, Request
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.remote.common import MOST_LIKELY, first_letters_differ, longest, seed_of
from ecellm.prompts import Template
from ecellm.tasks import TASKS
from ecellm.tasks.answers import Schema
from ecellm.types import Example

if TYPE_CHECKING:
    from openai import APIStatusError

SYSTEM = (
    "You answer questions about the products, reviews and purchases of online shops. Do what the instruction says. "
    "Reply with the answer alone, in the form that the instruction asks for, without explanation or other words."
)
LAYOUT = Template(
    prompt_input="{instruction}\n\n{input}\n\n{options}",
    prompt_no_options="{instruction}\n\n{input}",
    response_split="",
    special_tokens=False,
)

#: Optional features of a request, with how errors name each and what answers without it lack.
FEATURES = {
    "logprobs": (("logprobs",), "have no probability"),
    "response_format": (("response_format", "json_schema", "structured output"), "may be out of form"),
    "temperature": (("temperature",), "come by the server's own sampling"),
    "top_p": (("top_p",), "come by the server's own sampling"),
    "seed": (("seed",), "cannot be made again"),
    "max_tokens": (("max_tokens",), "were kept short by max_completion_tokens instead"),
}
#: Omitted in turn where a server refuses a request and names no reason.
GUESSES = (("logprobs",), ("response_format",), ("logprobs", "response_format"), tuple(FEATURES))


#: The body of a chat request, as the API of such servers has it.
Body = dict[str, Any]


@dataclass(frozen=True)
class RequestForm:
    """Builds the requests of a model."""

    name: str
    """The model's, at the server."""
    decoding: Decoding

    def features(self, example: Example) -> list[str]:
        """Return the features that the request for an example should have."""
        answer, candidates = TASKS[example.task].answer, candidates_of(example)
        sampled = self.temperature(example) > 0
        due = {
            "logprobs": not self.decoding.free and candidates is not None and first_letters_differ(candidates),
            "response_format": not self.decoding.free and (candidates is not None or answer.is_structured),
            "temperature": True,
            "top_p": sampled and self.decoding.top_p < 1,
            "seed": sampled,
            "max_tokens": True,
        }
        return [feature for feature, is_due in due.items() if is_due]

    def temperature(self, example: Example) -> float:
        """Return the temperature of a question: an answer that is chosen is not sampled."""
        chosen = not self.decoding.free and candidates_of(example) is not None
        return 0.0 if chosen else self.decoding.temperature

    def body(self, request: Request, using: Collection[str] | None = None) -> Body:
        """Return the body of a request, with some features (None: all that it should have)."""
        example, decoding = request.question.example, self.decoding
        using = self.features(example) if using is None else using
        limit = "max_tokens" if "max_tokens" in using else "max_completion_tokens"
        body: Body = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": request.prompt.text},
            ],
            limit: longest(example, decoding),
        }
        if "temperature" in using:
            body["temperature"] = self.temperature(example)
        if "top_p" in using:
            body["top_p"] = decoding.top_p
        if "seed" in using:
            body["seed"] = seed_of(decoding.seed, request)
        if "logprobs" in using:
            body |= {"logprobs": True, "top_logprobs": MOST_LIKELY}
        if "response_format" in using:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": answer_schema(example)},
            }
        return body


def answer_schema(example: Example) -> Schema:
    """Return the JSON schema that servers are given: an object, as they want one, with the task's answer in it."""
    schema = TASKS[example.task].answer.schema(example)
    if "enum" in schema:
        schema = {"type": "string", **schema}
    return {
        "type": "object",
        "properties": {"answer": schema},
        "required": ["answer"],
        "additionalProperties": False,
    }


def sendable(text: str) -> str:
    """Return a text that UTF-8 can hold: half a surrogate pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def names_feature(error: "APIStatusError", feature: str) -> bool:
    """Return whether an error names a feature."""
    text = f"{error.param or ''} {error.message}".casefold()
    return any(name in text for name in FEATURES[feature][0])
