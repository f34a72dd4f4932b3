"""A generator with probabilities and without a model: scores are drawn from the question's text."""

from collections.abc import Sequence

from ecellm.errors import DataError
from ecellm.io.hashing import keyed_number
from ecellm.models.base import Failure, Reply, Request
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.decoding.candidates import candidates_of
from ecellm.prompts import Prompt
from ecellm.types import Question
from scripted import ScriptedGenerator


class ScoredGenerator:
    """Answers multiple-choice questions by drawn scores, free-form ones by `text`; `failing` inputs get no answer."""

    def __init__(self, text: str = "It is quiet.") -> None:
        self.text = text
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.budget = 10_000

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        prompts = ScriptedGenerator({}).prompts(questions)
        for prompt, one in zip(prompts, questions, strict=True):
            if len(prompt.ids) > self.budget:
                raise DataError(f"Example {one.example.id} does not fit.")
        return prompts

    def reply(self, requests: Sequence[Request]) -> list[Reply | Failure]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> Reply | Failure:
        example = request.question.example
        self.asked.append(example.id)
        if any(word in example.input for word in self.failing):
            return Failure("the server is busy.")
        candidates = candidates_of(example)
        if candidates is None:
            return Reply(self.text)
        return candidate_reply(example, [4 * keyed_number(0, example.input, one) for one in candidates], {})
