"""AP, answerability prediction: do the review snippets answer the question?

Source: AmazonQA, in natural proportions.

    input    {"question": "does it fit a 15 inch laptop?", "document": ["my 15 inch laptop fits well", ...]}
    output   yes
    metric   F1 of yes
"""

from ecellm.tasks.answers import YesNo
from ecellm.tasks.questions import compared, question_task
from ecellm.types import Example


def snippets_alone(example: Example) -> tuple[str, ...]:
    """Return the snippets, of which one may answer the question."""
    return compared(example)[0].parts or ("",)


TASK = question_task(
    name="AP",
    title="Answerability_Prediction",
    instructions=(
        "Do the review snippets in the document contain what is needed to answer the question? Say yes or no.",
        "Given only these excerpts from reviews, can the question be answered? Reply yes or no.",
        "Check if the document answers the shopper's question. Output yes if it does and no if it does not.",
        "Decide whether someone who reads just the document could answer the question: yes or no.",
        "Is the question answerable from the supplied reviews? Respond with yes or no.",
        "Look for the answer to the question in the document and report if it is there, with yes or no.",
    ),
    answer=YesNo(),
    metric="f1",
    segments=snippets_alone,
    segments_decide="one",
    verb="check_answerable",
    sample_rows=(
        {"question": "Does it fit a 15 inch laptop?", "snippets": ["My 15 inch laptop fits with room to spare."]},
        {"question": "Can it go in the dishwasher?", "snippets": ["Arrived on time.", "The colour is lovely."]},
    ),
)
