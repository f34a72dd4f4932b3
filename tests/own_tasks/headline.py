"""RH, review headline: a second task of free text, whose rows are only imported.

input    The lid leaks and the handle came off after a week.
output   Broke after a week
metric   BERTScore F1
"""

from ecellm.tasks.answers import FreeText
from ecellm.tasks.input_parsing import whole
from ecellm.tasks.task import Column, Form, Pieces, Task

TASK = Task(
    name="RH",
    title="Review_Headline",
    aliases=(),
    instructions=(
        "Write a headline for the review.",
        "Say in a few words what the review says.",
        "Which headline would the writer give this review?",
        "Sum the review up in one short line.",
        "Give the review a title.",
        "Turn the review into a headline.",
    ),
    answer=FreeText(),
    metric="bertscore_f1",
    out_of_domain=False,
    pieces=lambda example: Pieces(whole(example.input)),
    form=Form((Column("text", "a review"),), lambda given: (given["text"], None)),
    texts=lambda example: (example.input,),
)
