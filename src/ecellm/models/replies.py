"""Predicting questions in memory, in batches: shared by tuning and merging."""

from collections.abc import Sequence

from ecellm.models.base import Failure, Generator, Progress, Reply, Request
from ecellm.models.decoding.batching import batches
from ecellm.types import Question


def replies_to(
    generator: Generator, questions: Sequence[Question], progress: Progress | None = None
) -> list[Reply | Failure]:
    """Predict in the batches that a prediction run forms; returns the replies in the order of the questions.

    `progress` is called with (questions done, questions in all). Raises DataError where a prompt does not fit.
    """
    prompts = generator.prompts(questions)
    requests = [Request(question, prompt) for question, prompt in zip(questions, prompts, strict=True)]
    found: dict[int, Reply | Failure] = {}
    for batch in batches(requests):
        if progress is not None:
            progress(len(found), len(requests))
        found.update(zip(map(id, batch), generator.reply(batch), strict=True))
    if progress is not None:
        progress(len(found), len(requests))
    return [found[id(request)] for request in requests]
