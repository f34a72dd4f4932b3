"""SA, sentiment analysis: how content is the writer of a review?

Source: Amazon Review 2018 reviews; five stars are very positive, one is very negative.

    input    The lid leaks and the handle came off after a week, but it does look nice on the shelf.
    options  ["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"]
    output   D: negative
    metric   macro F1
"""

import json
import re

from ecellm.tasks.answers import LETTERS, Letter
from ecellm.tasks.input_parsing import option_pieces, whole
from ecellm.tasks.task import Column, Form, Given, Pieces, Task
from ecellm.types import Example

OPTIONS = ["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"]
MOST_STARS = 5
#: Between the sentences of a review.
SENTENCES = re.compile(r"(?<=[.!?])\s+|\n+")


def write(given: Given) -> tuple[str, str]:
    """Return the review and the options."""
    return given["text"], json.dumps(OPTIONS)


def read(answer: str, given: Given) -> str:
    """Return the sentiment, such as very positive."""
    return OPTIONS[LETTERS.index(answer)].partition(": ")[2]


def pieces(example: Example) -> Pieces:
    """Truncate the review at its end; the options are short and stay."""
    return Pieces(whole(example.input), option_pieces(example.options, rank=2))


def sentences(example: Example) -> tuple[str, ...]:
    """Return the sentences of the review, of which each has its tone."""
    return tuple(piece for piece in SENTENCES.split(example.input) if piece.strip()) or (example.input,)


TASK = Task(
    name="SA",
    title="Sentiment_Analysis",
    instructions=(
        "What does the review's writer feel about the product? Choose one of the options.",
        "Read the review and pick the option that names its sentiment.",
        "From very positive to very negative: answer with the option that matches this review.",
        "Judge the mood of the following customer review and output the fitting option.",
        "Select the sentiment option that this review deserves.",
        "If the writer had to sum up their experience with one of the options, which would it be?",
    ),
    answer=Letter("ABCDE", whole_option=True),
    metric="macro_f1",
    out_of_domain=True,
    pieces=pieces,
    form=Form((Column("text", "a review"),), write, read),
    texts=lambda example: (example.input,),
    segments=sentences,
    verb="rate_sentiment",
    endpoint="sentiment",
    sample_rows=(
        {"text": "The lid leaks and the handle came off after a week, but it does look nice on the shelf."},
        {"text": "Best tent we ever owned. Up in five minutes, dry in a storm."},
    ),
)
