"""A generator with probabilities and without a model: scores are drawn from the question's text."""

from collections.abc import Sequence

from ecellm.dataset.dataset import Asked
from ecellm.inference.closed import candidates_of, closed_reply
from ecellm.inference.generator import Failure, Question, Reply
from ecellm.inference.scripted import ScriptedGenerator
from ecellm.keys import keyed_number
from ecellm.prompts import Prompt


class ScoredGenerator:
    """Answers closed questions by drawn scores and open ones by `text`; `failing` inputs get no answer."""

    def __init__(self, text: str = "It is quiet.") -> None:
        self.text = text
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.budget = 10_000

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        prompts = ScriptedGenerator({}).prompts(asked)
        for prompt, one in zip(prompts, asked, strict=True):
            if len(prompt.ids) > self.budget:
                raise ValueError(f"Sample {one.sample.id} does not fit.")
        return prompts

    def reply(self, questions: Sequence[Question]) -> list[Reply | Failure]:
        return [self._reply(question) for question in questions]

    def _reply(self, question: Question) -> Reply | Failure:
        sample = question.asked.sample
        self.asked.append(sample.id)
        if any(word in sample.input for word in self.failing):
            return Failure("the server is busy.")
        candidates = candidates_of(sample)
        if candidates is None:
            return Reply(self.text)
        return closed_reply(sample, [4 * keyed_number(0, sample.input, one) for one in candidates], {})
