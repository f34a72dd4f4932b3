"""Inference through an OpenAI-compatible server: OpenAI, Gemini, Claude, vLLM, Ollama, `transformers serve`.

Questions go out as chats, several at a time. Multiple-choice questions request structured output and the
likeliest first tokens, from which the probability comes. What a server refuses is omitted from then on, task by task,
and reported at the end. A question without an answer is a `Failure`; where every further request would fail,
ServerError is raised.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecellm.io.hashing import keyed_hash
from ecellm.models.base import Decoding, Failure, Reply, Request
from ecellm.models.calibration.applying import calibrated_reply
from ecellm.models.calibration.file import named, read_calibration
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.remote.by_threads import results_as_they_come
from ecellm.models.remote.client import ChatClient, Server
from ecellm.models.remote.common import candidate_of, shares
from ecellm.models.remote.completions import Completion, answer_in, first_tokens, unwrapped
from ecellm.models.remote.request_form import FEATURES, GUESSES, LAYOUT, SYSTEM, RequestForm, names_feature, sendable
from ecellm.prompts import Prompt, layout, named_template
from ecellm.tasks import TASKS
from ecellm.types import Example, Question

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI


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
        """Take the model's name at the server and, instead of the plain layout of questions, a template; and its
        calibration file.

        Raises EcellmError as `ChatClient` does, and where the calibration is not this model's.
        """
        self.name = name
        fitted = None if calibration is None else read_calibration(calibration, f"openai:{name}")
        self.offsets = {} if fitted is None else fitted.offsets
        self.temperatures = {} if fitted is None else fitted.temperatures
        self._calibration = named(calibration)
        self.server = server or Server()
        self.decoding = decoding or Decoding()
        self.template = LAYOUT if template is None else named_template(template)
        self.form = RequestForm(name, self.decoding)
        self.client = ChatClient(
            name, self.server, lambda times: self._count("Requests retried after an error", times)
        )
        self.url = self.client.url
        self.refused: dict[str, set[str]] = defaultdict(set)
        """Features that the server refused, by task."""
        self.without: Counter[str] = Counter()
        """Number of answers without a refused feature, by feature."""
        self.counts: Counter[str] = Counter()
        self._taken: set[tuple[str, ...]] = set()
        """Tasks with the features that were accepted: a later refusal is due to the question."""
        self._lock = threading.Lock()

    def identity(self) -> dict[str, str]:
        """Return what this model's answers depend on, for the record of a run."""
        return {
            "model": f"openai:{self.name}",
            "server": self.url,
            "prompt": keyed_hash("prompt", SYSTEM, self.template.model_dump_json()),
            "decoding": f"{self.decoding}{self._calibration}",
        }

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the users' messages, not truncated; the server tokenises them."""
        texts = ("".join(piece.text for piece in layout(one, self.template)) for one in questions)
        return [Prompt(sendable(text), []) for text in texts]

    def reply(self, requests: Sequence[Request]) -> list[Reply | Failure]:
        """Answer a batch, in order."""
        replies = dict(self.stream(requests))
        return [replies[place] for place in range(len(requests))]

    def stream(
        self, requests: Sequence[Request], halt: threading.Event | None = None
    ) -> Iterator[tuple[int, Reply | Failure]]:
        """Send all requests, several at a time, and yield each answer as it arrives.

        Once `halt` is set no more are sent; requests in flight are still awaited, up to the timeout.
        Raises ServerError where the server does not accept the key or has no such model.
        """
        connection = self.client.connect()

        def work(item: tuple[int, Request]) -> tuple[int, Reply | Failure]:
            place, request = item
            return place, self._answer(connection, request)

        numbered = list(enumerate(requests))
        try:
            yield from results_as_they_come(numbered, work, self.server.concurrency, halt, self.server.timeout)
        finally:
            connection.close()

    def remarks(self) -> list[str]:
        """Return remarks on the answers so far, a sentence each."""
        found = []
        for feature, (_, meaning) in FEATURES.items():
            tasks = [task for task in TASKS if feature in self.refused[task]]
            if tasks:
                count = f"{self.without[feature]:,} answers" if self.without[feature] != 1 else "1 answer"
                found.append(f"The server refused {feature} for {', '.join(tasks)}: {count} {meaning}.")
        return found + [f"{what}: {count:,}." for what, count in sorted(self.counts.items()) if count]

    def _answer(self, connection: "OpenAI", request: Request) -> Reply | Failure:
        """Return the answer to a request; raises ServerError where every further one would fail."""
        task = request.question.example.task
        due = self.form.features(request.question.example)
        using = [feature for feature in due if feature not in self.refused[task]]
        try:
            try:
                completion = self.client.completion(connection, self.form.body(request, using))
            except self.client.refusals as error:
                if (task, *using) in self._taken:
                    raise
                completion, using = self._without(connection, request, using, error)
        except Exception as error:
            return self.client.failure(error)
        with self._lock:
            self._taken.add((task, *using))
            self.refused[task].update(set(due) - set(using))
            self.without.update(set(due) - set(using))
        return self._reply(request.question.example, completion, using)

    def _without(
        self, connection: "OpenAI", request: Request, using: Sequence[str], error: "APIStatusError"
    ) -> tuple[Completion, list[str]]:
        """Retry without the features that the server may have refused: those it names, or else guesses in turn.

        Returns the completion and the features that were in the request; raises the last error where nothing helps.
        """
        left = list(using)
        while named := [feature for feature in left if names_feature(error, feature)]:
            left = [feature for feature in left if feature not in named]
            try:
                return self.client.completion(connection, self.form.body(request, left)), left
            except self.client.refusals as next_error:
                error = next_error
        for guess in GUESSES:
            fewer = [feature for feature in left if feature not in guess]
            if fewer == left:
                continue
            try:
                return self.client.completion(connection, self.form.body(request, fewer)), fewer
            except self.client.refusals as next_error:
                error = next_error
        raise error

    def _reply(self, example: Example, completion: Completion, using: Collection[str]) -> Reply:
        """Return the answer in a completion, with the probabilities of its candidates where there are any."""
        if completion.truncated:
            self._count("Answers truncated at the token limit")
        if completion.usage is None:
            self._count("Answers whose tokens the server did not count")
        text = held = self._held(completion)
        if "response_format" in using:
            answer = TASKS[example.task].answer
            written = answer.written(answer_in(held))
            if written is None and self.decoding.lenient:
                written = answer.written(answer_in(held, more_keys=True))
                self._count("Answers taken from an object with more keys", int(written is not None))
            if written is None:
                self._count("Answers not in the requested form")
            else:
                text = written
        text = text if self.template is LAYOUT else self.template.answer(text)
        scores = self._scores(example, completion, held, text) if "logprobs" in using else None
        if scores is None:
            return Reply(text, usage=completion.usage)
        chosen, found = scores
        reply = Reply(text, found[chosen], found, completion.usage)
        return calibrated_reply(example, reply, self.offsets, self.temperatures)

    def _held(self, completion: Completion) -> str:
        """Return the part of the content that holds the answer: without thinking and code fence where these are
        lenient to parse."""
        content = completion.content.strip()
        inner = unwrapped(content)
        if inner == content:
            return content
        if not self.decoding.lenient:
            self._count("Answers in a code fence or behind thinking")
            return content
        self._count("Answers unwrapped from a code fence or thinking")
        return inner

    def _scores(
        self, example: Example, completion: Completion, held: str, text: str
    ) -> tuple[str, dict[str, float]] | None:
        """Return the answer's candidate and every candidate's probability at the token that the answer begins with;
        None, counted, where there are none, or that token begins another."""
        if not any(token.likely for token in completion.tokens):
            self._count("Answers to which the server gave no log-probabilities")
            return None
        candidates, answer = candidates_of(example), TASKS[example.task].answer.parse(text, example)
        if answer is None or candidates is None:
            return None
        chosen = TASKS[example.task].answer.print(answer, example)
        token, likely = first_tokens(completion, held) or ("", {})
        place, found = candidate_of(candidates, token), shares(candidates, likely)
        if found is None or place is None or candidates[place] != chosen:
            self._count("Answers whose probability the server's log-probabilities do not tell")
            return None
        return chosen, dict(zip(candidates, found, strict=True))

    def _count(self, what: str, count: int = 1) -> None:
        with self._lock:
            self.counts[what] += count
