"""The Python API: a model that answers the ten tasks' questions, one at a time or many.

import ecellm

model = ecellm.load_model("runs/demo/model")
model.match({"title": "clickart 950 000", "price": "0"}, "clickart 950000 dvd").answer   # "yes"
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ecellm.errors import DataError, EcellmError, ServerError
from ecellm.inference.method_arguments import Answers
from ecellm.inference.row_questions import RowQuestion, answered, row_question
from ecellm.inference.task_methods import TaskMethods
from ecellm.models.base import Failure, Generator, Reply, Request, Streaming
from ecellm.models.decoding.batching import batches
from ecellm.prompts import Prompt
from ecellm.tasks import Task


class Model(TaskMethods):
    """A model that answers questions of the ten tasks."""

    def __init__(self, generator: Generator):
        self.generator = generator

    def _answers(self, chosen: Task, rows: Sequence[Mapping[str, object]]) -> Answers:
        """Answer rows of a task, in order; the generator makes batches of questions of a like length."""
        made = questions_of(chosen, rows)
        requests = requests_of(made, self.generator.prompts([one.question for one in made]))
        return answers_of(chosen, made, self._replies(requests))

    def _replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | Failure]]:
        """Yield replies with the places of their requests."""
        if isinstance(self.generator, Streaming):
            yield from self.generator.stream(requests)
            return
        for batch in batches(requests):
            for request, reply in zip(batch, self.generator.reply(batch), strict=True):
                yield int(request.question.example.id), reply


def questions_of(chosen: Task, rows: Sequence[Mapping[str, object]]) -> list[RowQuestion]:
    """Return the questions of rows; raises DataError, naming the row, where one is invalid."""
    made = []
    for number, row in enumerate(rows):
        try:
            made.append(row_question(chosen, row, str(number)))
        except EcellmError as error:
            raise DataError(f"Question {number}: {error}" if len(rows) > 1 else str(error)) from error
    return made


def requests_of(made: Sequence[RowQuestion], prompts: Sequence[Prompt]) -> list[Request]:
    """Return questions with their prompts."""
    return [Request(one.question, prompt, one.given) for one, prompt in zip(made, prompts, strict=True)]


def answers_of(chosen: Task, made: Sequence[RowQuestion], replies: Iterable[tuple[int, Reply | Failure]]) -> Answers:
    """Return the answers in replies, in order.

    Raises, naming the question, DataError where it is invalid and ServerError where it got no answer.
    """
    found: Answers = [None] * len(made)  # type: ignore[list-item]
    for number, reply in replies:
        if isinstance(reply, Failure):
            named = f"Question {number}" if len(made) > 1 else "The question"
            if reply.invalid:
                raise DataError(f"{named} is invalid: {reply.reason.rstrip('.')}.")
            raise ServerError(f"{named} got no answer: {reply.reason}")
        found[number] = answered(chosen, made[number], reply)
    return found
