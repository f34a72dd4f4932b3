"""AP, answerability prediction: do the review snippets answer the question?

Source: AmazonQA, in natural proportions.

    input    {"question": "does it fit a 15 inch laptop?", "document": ["my 15 inch laptop fits well", ...]}
    output   yes
    metric   F1 of yes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecellm.tasks.answers import YesNo
from ecellm.tasks.pieces import texts_under
from ecellm.tasks.questions import FORM, drawn_questions, facts_in, question_pieces, question_sample
from ecellm.tasks.task import CATEGORY, Draw, Plan, Task

if TYPE_CHECKING:
    from ecellm.store import Store


def draw(store: Store, plan: Plan) -> Draw:
    """Draw questions of the plan's categories from the source's own splits."""
    import ibis

    found = Draw()
    rows = drawn_questions(store, plan, "AP", lambda questions: ibis.literal(True), found)
    found.samples = [
        question_sample("AP", split, domain, row, "yes" if row["answerable"] else "no") for split, domain, row in rows
    ]
    return found


TASK = Task(
    name="AP",
    title="Answerability_Prediction",
    aliases=(),
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
    out_of_domain=True,
    needs=("questions",),
    draw=draw,
    pieces=question_pieces,
    form=FORM,
    facts=facts_in,
    domains=(CATEGORY,),
    classes=True,
    texts=texts_under("question"),
)
