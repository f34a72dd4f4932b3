"""Shoppers' questions as the two AmazonQA tasks (AP, AG) share them."""

import json
from functools import partial

from ecellm.tasks.answers import input_list, input_part
from ecellm.tasks.input_parsing import Path, Truncation, pieces_by, texts_under
from ecellm.tasks.task import Column, Form, Given, Task
from ecellm.tasks.text_pairs import BREAK, TextPair
from ecellm.types import Example


def write(given: Given) -> tuple[str, None]:
    """Return question and snippets."""
    return json.dumps({"question": given["question"], "document": given["snippets"]}), None


#: A question of one's own.
FORM = Form(
    (Column("question", "a shopper's question"), Column("snippets", "texts of reviews, best first", many=True)), write
)


def facts_in(example: Example) -> tuple[str, ...]:
    """Return the question that a row of AP or AG gives away, read off its input; none where the input is in no
    known form."""
    try:
        return (f"question|{' '.join(json.loads(example.input)['question'].split()).lower()}",)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ()


def compared(example: Example) -> list[TextPair]:
    """Return the question and all snippets."""
    snippets = tuple(str(snippet) for snippet in input_list(example, "document"))
    return [TextPair(str(input_part(example, "question")), BREAK.join(snippets), snippets)]


def truncation(path: Path, value: str) -> Truncation | None:
    """Drop snippets from the last one on, shorten the first, then the question."""
    match path:
        case ("document", 0):
            return Truncation(rank=2, mark="snippet")
        case ("document", int()):
            return Truncation(rank=1, how="drop", mark="snippet")
    return Truncation(rank=3)


#: A task of such questions, but for its name, instructions, answer and metric.
question_task = partial(
    Task,
    out_of_domain=True,
    pieces=pieces_by(truncation),
    form=FORM,
    facts=facts_in,
    texts=texts_under("question"),
    compared=compared,
)
