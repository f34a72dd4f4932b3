"""AP, answerability prediction: do the review snippets answer the question?

Source: AmazonQA, in natural proportions.

    input    {"question": "does it fit a 15 inch laptop?", "document": ["my 15 inch laptop fits well", ...]}
    output   yes
    metric   F1 of yes
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ecellm.records import Sample, sample_id
from ecellm.tasks.answers import YesNo
from ecellm.tasks.drawing import first_by_key
from ecellm.tasks.questions import (
    NO_SNIPPETS,
    asked,
    fact,
    product_key,
    question_input,
    question_pieces,
    without_snippets,
)
from ecellm.tasks.task import Draw, Plan, Task

if TYPE_CHECKING:
    from ecellm.store import Store


def draw(store: Store, plan: Plan) -> Draw:
    """Draw questions of the plan's categories from the source's own splits."""
    rows = asked(store, plan.seed)
    samples = []
    for split, domain in plan.quotas:
        categories = plan.in_domain if domain == "IND" else plan.out_of_domain
        part = rows.filter((rows.split == split) & rows.category.isin(categories))
        for row in first_by_key(part, "key", plan.enough(split, domain)):
            text = question_input(row)
            samples.append(
                Sample(
                    id=sample_id("AP", domain, text, None),
                    task="AP",
                    domain=domain,
                    split=split,
                    input=text,
                    options=None,
                    output="yes" if row["answerable"] else "no",
                    category=row["category"],
                    facts=(fact(row),),
                    products=(product_key(row),),
                )
            )
    return Draw(samples, +Counter({NO_SNIPPETS: without_snippets(store)}))


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
)
