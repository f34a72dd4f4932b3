"""The worker of the batcher: a model answers the questions of any task, as `ecellm ask` would."""

from collections.abc import Sequence
from dataclasses import dataclass

from ecellm.errors import EcellmError, ServerError
from ecellm.inference.row_questions import Answer, RowQuestion, answered
from ecellm.models.base import Failure, Generator, Request
from ecellm.models.decoding.candidates import candidates_of
from ecellm.serving.batching import Ready
from ecellm.tasks import Task


@dataclass(frozen=True)
class Asked:
    """A question of a task, made from a client's row."""

    task: Task
    made: RowQuestion


@dataclass(frozen=True)
class _Prompted:
    """A question with its prompt."""

    asked: Asked
    request: Request


class ModelWorker:
    """Answers questions by a generator, with the prompts and batches that `predict` has."""

    def __init__(self, generator: Generator):
        self.generator = generator

    def prepare(self, items: Sequence[Asked]) -> list[Ready | Exception]:
        """Return the questions with their prompts, and the error of each whose prompt does not fit.

        Multiple-choice and free-form questions are two kinds: the former are scored, the latter generated.
        """
        try:
            prompts = self.generator.prompts([item.made.question for item in items])
        except EcellmError as error:  # one of them: which?
            return [error] if len(items) == 1 else [self.prepare([item])[0] for item in items]
        requests = [Request(item.made.question, prompt) for item, prompt in zip(items, prompts, strict=True)]
        return [
            Ready(
                _Prompted(item, request),
                tokens=max(1, len(request.prompt.ids)),
                kind=candidates_of(request.question.example) is None,
            )
            for item, request in zip(items, requests, strict=True)
        ]

    def answer(self, batch: Sequence[_Prompted]) -> list[Answer[object] | Exception]:
        """Answer questions in their own terms."""
        replies = self.generator.reply([one.request for one in batch])
        return [
            ServerError(f"The question got no answer: {reply.reason}")
            if isinstance(reply, Failure)
            else answered(one.asked.task, one.asked.made, reply)
            for one, reply in zip(batch, replies, strict=True)
        ]
