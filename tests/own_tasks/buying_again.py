"""BA, buying again: would the writer of a review buy the product again?

input    The lid leaks and the handle came off after a week.
options  ["A: yes, again", "B: perhaps", "C: never again"]
output   C
metric   accuracy
"""

import json

from ecellm.tasks.answers import LETTERS, Letter
from ecellm.tasks.input_parsing import option_pieces, whole
from ecellm.tasks.task import Column, Form, Given, Pieces, Task
from ecellm.types import Example

OPTIONS = ["A: yes, again", "B: perhaps", "C: never again"]


def write(given: Given) -> tuple[str, str]:
    """Return the review and the options."""
    return given["text"], json.dumps(OPTIONS)


def read(answer: str, given: Given) -> str:
    """Return the option without its letter."""
    return OPTIONS[LETTERS.index(answer)].partition(": ")[2]


def pieces(example: Example) -> Pieces:
    """Cut the review at its end."""
    return Pieces(whole(example.input), option_pieces(example.options, rank=2))


TASK = Task(
    name="BA",
    title="Buying_Again",
    aliases=(),
    instructions=(
        "Would the writer buy the product again? Answer with an option's letter.",
        "Choose the option that says if the writer comes back to this product.",
        "Read the review and pick the letter: will its writer buy the same again?",
        "Does the review sound as if it came from a future buyer? Give the letter.",
        "Name the option that fits the writer's next purchase.",
        "By letter: again, perhaps, or never again?",
    ),
    answer=Letter("ABC"),
    metric="accuracy",
    out_of_domain=False,
    pieces=pieces,
    form=Form((Column("text", "a review"),), write, read),
    texts=lambda example: (example.input,),
)
