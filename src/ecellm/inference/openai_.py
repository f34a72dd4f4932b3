"""Asking a model behind an OpenAI-compatible server: OpenAI, Gemini, Claude, vLLM, Ollama, `transformers serve`.

Questions go out as chats, several at a time. A closed question asks for structured output and for the likeliest
first tokens, from which its probability comes. What a server refuses is left out from then on, task by task, and
said at the end. A question that got no answer is a `Failure`; what makes all further asking useless is a ValueError.

The key comes from the environment alone and is in no message, record or file.
"""

import json
import math
import os
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import httpx2

from ecellm.dataset.dataset import Asked
from ecellm.inference.calibration_file import named, read_calibration
from ecellm.inference.closed import candidates_of, decided_again
from ecellm.inference.generator import Decoding, Failure, Question, Reply, Usage
from ecellm.inference.outside import MOST_LIKELY, longest, seed_of, shares, told_apart
from ecellm.keys import keyed_hash, keyed_number
from ecellm.prompts import Prompt, Template, layout, named_template
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import FreeText

INSTALL = "Asking a server needs the openai client: pip install 'ecellm[openai]'."
KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
#: What stands for the key where a server needs none.
NO_KEY = "none"

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

#: What a request may ask for and a server may refuse, with how errors name it and what its lack means.
FEATURES = {
    "logprobs": (("logprobs",), "have no probability"),
    "response_format": (("response_format", "json_schema", "structured output"), "may be out of form"),
    "temperature": (("temperature",), "come by the server's own sampling"),
    "top_p": (("top_p",), "come by the server's own sampling"),
    "seed": (("seed",), "cannot be made again"),
    "max_tokens": (("max_tokens",), "were kept short by max_completion_tokens instead"),
}
#: Left out in turn where a server refuses a request and does not say for what.
GUESSES = (("logprobs",), ("response_format",), ("logprobs", "response_format"), tuple(FEATURES))
#: Codes that no other question would fare better with.
PAYMENT_REQUIRED, NO_QUOTA = 402, "insufficient_quota"

#: Seconds before a question is asked again, at first and at most; they double.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0

#: Seconds that a server may ask to wait; the client waits no longer than this.
LONGEST_WAIT = 120

_BEFORE_VALUE = re.compile(r'\{\s*"answer"\s*:\s*"?')


@dataclass(frozen=True)
class Server:
    """How a server is asked."""

    url: str | None = None
    """Its address, such as http://localhost:8000/v1; None: the environment's, or OpenAI's."""
    concurrency: int = 8
    """Questions under way at a time."""
    timeout: float = 60.0
    """Seconds that an answer may take."""
    retries: int = 6
    """How often a question is asked again after 429, 5xx, a timeout or a cut connection; waits double from half a
    second to eight, with jitter, unless the server says how long (up to two minutes)."""


@dataclass(frozen=True)
class Said:
    """A chat completion."""

    content: str
    usage: Usage | None
    tokens: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    """Each token with the likeliest in its place and their probabilities, where they were given."""
    cut: bool = False


class NoCompletionError(Exception):
    """What a server sent is no chat completion."""


class _BrokenOffError(Exception):
    """An answer began and did not end."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error
        """What the client raises for one that did not begin."""


class OpenAIGenerator:
    """A model of an OpenAI-compatible server."""

    def __init__(
        self,
        name: str,
        server: Server | None = None,
        decoding: Decoding | None = None,
        template: str | None = None,
        calibration: Path | None = None,
    ):
        """Take the model's name at the server and, instead of the plain layout of questions, a template; and the file
        of temperatures and decision thresholds that were fitted for it.

        Raises ValueError where the client is not installed, for an address that is none or holds a password, and
        where the calibration is not this model's.
        """
        self.name = name
        fitted = None if calibration is None else read_calibration(calibration, f"openai:{name}")
        self.offsets = {} if fitted is None else fitted.offsets
        self.temperatures = {} if fitted is None else fitted.temperatures
        self._calibration = named(calibration)
        self.server = server or Server()
        self.decoding = decoding or Decoding()
        self.template = LAYOUT if template is None else named_template(template)
        self._key = os.environ.get(KEY) or NO_KEY
        try:
            import openai
        except ImportError as error:
            raise ValueError(INSTALL) from error
        self._openai = openai
        url = self.server.url or os.environ.get(ADDRESS) or None
        if url is not None:
            _check_address(url)
        self._connect = partial(
            openai.OpenAI,
            api_key=self._key,
            base_url=url,
            timeout=self.server.timeout,
            max_retries=self.server.retries,
        )
        with self._connect() as client:
            self.url = str(client.base_url)
        self.refused: dict[str, set[str]] = defaultdict(set)
        """What the server refused, by task."""
        self.without: Counter[str] = Counter()
        """Answers by the refused feature that they were made without."""
        self.counts: Counter[str] = Counter()
        self._taken: set[tuple[str, ...]] = set()
        """Tasks with the features that were taken: a refusal is then the question's own."""
        self._lock = threading.Lock()

    def identity(self) -> dict[str, str]:
        """Return what this model's answers depend on, for the record of a run."""
        return {
            "model": f"openai:{self.name}",
            "server": self.url,
            "prompt": keyed_hash("prompt", SYSTEM, self.template.model_dump_json()),
            "decoding": f"{self.decoding}{self._calibration}",
        }

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the users' messages, whole; their tokens are the server's affair."""
        texts = ("".join(piece.text for piece in layout(one, self.template)) for one in asked)
        return [Prompt(_sendable(text), []) for text in texts]

    def reply(self, questions: Sequence[Question]) -> list[Reply | Failure]:
        """Answer some questions, in order."""
        replies = dict(self.stream(questions))
        return [replies[place] for place in range(len(questions))]

    def stream(
        self, questions: Sequence[Question], halt: threading.Event | None = None
    ) -> Iterator[tuple[int, Reply | Failure]]:
        """Ask all the questions, several at a time, and give each answer as it comes.

        Once `halt` is set no more are asked. Answers under way still come, for as long as one may take.
        Raises ValueError where the server does not take the key, or does not know the model.
        """
        todo: SimpleQueue[tuple[int, Question]] = SimpleQueue()
        done: SimpleQueue[tuple[int, Reply | Failure] | Exception | None] = SimpleQueue()
        stop = halt or threading.Event()
        client = self._connect()
        for numbered in enumerate(questions):
            todo.put(numbered)

        def work() -> None:
            while not stop.is_set():
                try:
                    place, question = todo.get_nowait()
                except Empty:
                    break
                try:
                    done.put((place, self._ask(client, question)))
                except Exception as error:  # every other question would meet it too
                    stop.set()
                    done.put(error)
            done.put(None)

        working = min(self.server.concurrency, len(questions))
        reason: Exception | None = None
        ends: float | None = None
        try:
            for _ in range(working):
                # Daemons: whoever gives up does not wait for the server.
                threading.Thread(target=work, daemon=True).start()
            while working:
                if stop.is_set() and ends is None:
                    ends = time.monotonic() + self.server.timeout
                try:
                    found = done.get(timeout=None if ends is None else max(ends - time.monotonic(), 0.0))
                except Empty:
                    break
                if found is None:
                    working -= 1
                elif isinstance(found, Exception):
                    reason = reason or found
                else:
                    yield found
            if reason is not None:
                raise reason
        finally:
            stop.set()
            client.close()

    def remarks(self) -> list[str]:
        """Return what there is to say about the answers so far, a sentence each."""
        said = []
        for feature, (_, meaning) in FEATURES.items():
            tasks = [task for task in TASKS if feature in self.refused[task]]
            if tasks:
                count = f"{self.without[feature]:,} answers" if self.without[feature] != 1 else "1 answer"
                said.append(f"The server refused {feature} for {', '.join(tasks)}: {count} {meaning}.")
        return said + [f"{what}: {count:,}." for what, count in sorted(self.counts.items())]

    def _ask(self, client: Any, question: Question) -> Reply | Failure:
        """Return a question's answer; raises ValueError where asking on is useless."""
        task = question.asked.sample.task
        wanted = self._wanted(question.asked.sample)
        using = [feature for feature in wanted if feature not in self.refused[task]]
        try:
            try:
                said = self._completion(client, question, using)
            except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as error:
                if (task, *using) in self._taken:
                    raise
                said, using = self._without(client, question, using, error)
        except self._openai.APIStatusError as error:
            return self._status(error)
        except self._openai.APITimeoutError:
            return Failure(f"no answer within {self.server.timeout:g} s")
        except self._openai.APIConnectionError as error:
            return Failure(f"the connection to {self.url} failed: {self._clean(str(error.__cause__ or error))}")
        except NoCompletionError:
            return Failure("what the server sent is no chat completion")
        with self._lock:
            self._taken.add((task, *using))
            self.refused[task].update(set(wanted) - set(using))
            self.without.update(set(wanted) - set(using))
        return self._reply(question.asked.sample, said, using)

    def _wanted(self, sample: Sample) -> list[str]:
        """Return the features that a question is asked with."""
        kind, candidates = TASKS[sample.task].answer, candidates_of(sample)
        sampled = self._temperature(sample) > 0
        asks = {
            "logprobs": not self.decoding.free and candidates is not None and told_apart(candidates),
            "response_format": not self.decoding.free and not isinstance(kind, FreeText),
            "temperature": True,
            "top_p": sampled and self.decoding.top_p < 1,
            "seed": sampled,
            "max_tokens": True,
        }
        return [feature for feature, wanted in asks.items() if wanted]

    def _temperature(self, sample: Sample) -> float:
        """Return the temperature of a question: an answer that is chosen is not sampled."""
        chosen = not self.decoding.free and candidates_of(sample) is not None
        return 0.0 if chosen else self.decoding.temperature

    def _completion(self, client: Any, question: Question, using: Collection[str]) -> Said:
        """Ask once, with the client's retries; what is no completion is asked for again as often."""
        body = self.request(question, using)
        for left in reversed(range(self.server.retries + 1)):
            try:
                return read_completion(self._fetched(client, body))
            except NoCompletionError:
                if not left:
                    raise
            except _BrokenOffError as broken:
                if not left:
                    raise broken.error from broken
            self._count("Requests repeated after a fault")
            time.sleep(self._pause(question, self.server.retries - left))
        raise AssertionError("asked at least once")

    def _fetched(self, client: Any, body: dict[str, Any]) -> bytes:
        """Return what the server sends, read within the time for an answer: one that sends a byte now and then keeps
        a connection alive for ever. Raises _BrokenOffError for an answer that begins and does not end."""
        with client.chat.completions.with_streaming_response.create(**body) as raw:
            if raw.retries_taken:
                self._count("Requests repeated after a fault", raw.retries_taken)
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
                if client.is_closed():  # while this connection was being made, which the client then forgot
                    raw.http_response.extensions["network_stream"].close()
            return bytes(read)

    def _pause(self, question: Question, tries: int) -> float:
        """Return for how many seconds to wait after so many tries: as the client does after other faults."""
        jitter = 1 - 0.25 * keyed_number("pause", question.prompt.text, tries)
        return min(FIRST_PAUSE * 2**tries, LONGEST_PAUSE) * jitter

    def request(self, question: Question, using: Collection[str] | None = None) -> dict[str, Any]:
        """Return the body of the request that asks a question, with some features (None: all that it is due)."""
        sample, decoding = question.asked.sample, self.decoding
        using = self._wanted(sample) if using is None else using
        limit = "max_tokens" if "max_tokens" in using else "max_completion_tokens"
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": question.prompt.text},
            ],
            limit: longest(sample, decoding),
        }
        if "temperature" in using:
            body["temperature"] = self._temperature(sample)
        if "top_p" in using:
            body["top_p"] = decoding.top_p
        if "seed" in using:
            body["seed"] = seed_of(decoding.seed, question)
        if "logprobs" in using:
            body |= {"logprobs": True, "top_logprobs": MOST_LIKELY}
        if "response_format" in using:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": answer_schema(sample)},
            }
        return body

    def _without(self, client: Any, question: Question, using: Sequence[str], error: Any) -> tuple[Said, list[str]]:
        """Ask again without what the server may have refused: what the error names, or else the likely ones in turn.

        Returns what was said and the features that it was asked with; raises the last error where nothing helps.
        """
        left = list(using)
        while named := [feature for feature in left if _names(error, feature)]:
            left = [feature for feature in left if feature not in named]
            try:
                return self._completion(client, question, left), left
            except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as next_error:
                error = next_error
        for guess in GUESSES:
            fewer = [feature for feature in left if feature not in guess]
            if fewer == left:
                continue
            try:
                return self._completion(client, question, fewer), fewer
            except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as next_error:
                error = next_error
        raise error

    def _status(self, error: Any) -> Failure:
        """Return the failure that a status means; raises ValueError where it is the same for every question."""
        body = error.body if isinstance(error.body, dict) else {}
        said = self._clean(str(body.get("message") or body.get("detail") or error.message))
        if error.status_code in (401, 403):
            raise ValueError(f"{self.url} does not take the key: set {KEY} to one that may ask {self.name} ({said}).")
        if error.status_code == 404:
            raise ValueError(f"{self.url} knows no model {self.name!r}, or has no chat completions ({said}).")
        wait = error.response.headers.get("retry-after", "")
        if wait.isdigit() and int(wait) > LONGEST_WAIT:
            raise ValueError(
                f"{self.url} asks to wait for {int(wait):,} s ({said}): run the command again then; it goes on where "
                "it stopped."
            )
        if error.status_code == PAYMENT_REQUIRED or error.code == NO_QUOTA:
            raise ValueError(f"{self.url} wants to be paid before it goes on ({said}).")
        return Failure(f"the server said {error.status_code}: {said}")

    def _clean(self, said: str) -> str:
        """Return the beginning of a message in one line, without the key."""
        plain = said if self._key == NO_KEY else said.replace(self._key, f"[{KEY}]")
        return " ".join(plain.split())[:200].rstrip(". ")

    def _reply(self, sample: Sample, said: Said, using: Collection[str]) -> Reply:
        """Return the answer in a completion, with the probabilities of its candidates where they can be told."""
        text = said.content.strip()
        if said.cut:
            self._count("Answers cut at the most tokens")
        if "response_format" in using:
            value = answer_in(said.content)
            if value is None:
                self._count("Answers out of the form that was asked for")
            else:
                text = value if isinstance(value, str) else TASKS[sample.task].answer.print(value, sample)
        text = text if self.template is LAYOUT else self.template.answer(text)
        candidates = candidates_of(sample)
        likely = first_tokens(said) if "logprobs" in using else None
        if "logprobs" in using and likely is None:
            self._count("Answers to which the server gave no log-probabilities")
        found = shares(candidates, likely) if candidates is not None and likely is not None else None
        if candidates is None or found is None:
            return Reply(text, usage=said.usage)
        scores = dict(zip(candidates, found, strict=True))
        answer = TASKS[sample.task].answer.parse(text, sample)
        chosen = None if answer is None else TASKS[sample.task].answer.print(answer, sample)
        if chosen not in scores:
            return Reply(text, usage=said.usage)
        reply = Reply(text, scores[chosen], scores, said.usage)
        return decided_again(sample, reply, self.offsets, self.temperatures)

    def _count(self, what: str, count: int = 1) -> None:
        with self._lock:
            self.counts[what] += count


def answer_schema(sample: Sample) -> dict[str, Any]:
    """Return the JSON schema that servers are given: an object, as they want one, with the task's answer in it."""
    schema = TASKS[sample.task].answer.schema(sample)
    if "enum" in schema:
        schema = {"type": "string", **schema}
    return {
        "type": "object",
        "properties": {"answer": schema},
        "required": ["answer"],
        "additionalProperties": False,
    }


def answer_in(content: str) -> str | list[Any] | None:
    """Return the answer in the object that `answer_schema` asks for, or None where the text is no such object."""
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        return None
    value = read.get("answer") if isinstance(read, dict) and set(read) == {"answer"} else None
    return value if isinstance(value, str | list) else None


def first_tokens(said: Said) -> dict[str, float] | None:
    """Return the likeliest tokens (with their probabilities) at the place where the answer itself begins."""
    before = _BEFORE_VALUE.match(said.content)
    start = before.end() if before else len(said.content) - len(said.content.lstrip())
    begin = 0
    for token, likely in said.tokens:
        if begin + len(token) > start:
            lead = token[: start - begin]
            return {one.removeprefix(lead): share for one, share in likely.items() if one.startswith(lead)}
        begin += len(token)
    return None


def read_completion(raw: bytes) -> Said:
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
    return Said(content, usage, tokens, choice.get("finish_reason") == "length")


def _sendable(text: str) -> str:
    """Return a text that UTF-8 can hold: in place of half a surrogate pair stands the sign for a lost character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _names(error: Any, feature: str) -> bool:
    """Say whether an error names a feature."""
    said = f"{error.param or ''} {error.message}".casefold()
    return any(name in said for name in FEATURES[feature][0])


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        raise ValueError("The server's address is none: it begins with http:// or https:// and names a host.")
    if parts.username or parts.password or parts.query:
        raise ValueError(f"Leave passwords and questions out of the server's address; the key comes from {KEY}.")
