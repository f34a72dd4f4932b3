"""Asking rows that are at hand, all at once: what tuning, calibrating and merging have in common."""

from collections.abc import Callable, Sequence

from ecellm.dataset.dataset import Asked
from ecellm.inference.generator import Failure, Generator, Question, Reply
from ecellm.inference.predict import batches


def replies_to(
    generator: Generator, asked: Sequence[Asked], progress: Callable[[int, int], None] | None = None
) -> list[Reply | Failure]:
    """Ask rows in the batches that a prediction run forms and return the replies in the order of the rows.

    `progress` is called with (rows done, rows in all). Raises ValueError where a prompt does not fit.
    """
    prompts = generator.prompts(asked)
    questions = [Question(one, prompt) for one, prompt in zip(asked, prompts, strict=True)]
    found: dict[int, Reply | Failure] = {}
    for batch in batches(questions):
        if progress is not None:
            progress(len(found), len(questions))
        found.update(zip(map(id, batch), generator.reply(batch), strict=True))
    if progress is not None:
        progress(len(found), len(questions))
    return [found[id(question)] for question in questions]
