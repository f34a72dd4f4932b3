"""AG, answer generation: answer a shopper's question from review snippets.

Source: AmazonQA, answerable and descriptive questions; the answer with the most helpful votes, first on ties.

    input    {"question": "how loud is the fan?", "document": ["the fan is so quiet that we sleep well", ...]}
    output   It is very quiet, you can sleep next to it.
    metric   BERTScore F1
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ecellm.records import Sample, sample_id
from ecellm.tasks.answers import FreeText
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
    """Draw answerable, descriptive questions that somebody answered."""
    rows = asked(store, plan.seed)
    rows = rows.filter(rows.answerable & (rows.kind == "descriptive"))
    dropped = Counter({NO_SNIPPETS: without_snippets(store)})
    samples = []
    for split, domain in plan.quotas:
        categories = plan.in_domain if domain == "IND" else plan.out_of_domain
        part = rows.filter((rows.split == split) & rows.category.isin(categories))
        for row in first_by_key(part, "key", plan.enough(split, domain)):
            answer = best_answer(row["answers"])
            if answer is None:
                dropped["question has no answer with text"] += 1
                continue
            text = question_input(row)
            samples.append(
                Sample(
                    id=sample_id("AG", domain, text, None),
                    task="AG",
                    domain=domain,
                    split=split,
                    input=text,
                    options=None,
                    output=answer,
                    category=row["category"],
                    facts=(fact(row),),
                    products=(product_key(row),),
                )
            )
    return Draw(samples, +dropped)


def best_answer(answers: list[dict[str, Any]]) -> str | None:
    """Return the text of the answer with the most helpful votes, the first on ties; None without a text."""
    written = [answer for answer in answers if answer["text"].strip()]
    return max(written, key=lambda answer: answer["helpful"])["text"] if written else None


TASK = Task(
    name="AG",
    title="Answer_Generation",
    aliases=(),
    instructions=(
        "Answer the question with the help of the review snippets in the document.",
        "Write a reply to the shopper's question that rests on what the reviewers say.",
        "Use the document to compose a short, helpful answer to the question.",
        "A customer asks about a product. Respond from the excerpts of reviews given.",
        "From the information in the document, give an answer to the question in your own words.",
        "Reply to the question as a shop assistant would who has read these reviews.",
    ),
    answer=FreeText(),
    metric="bertscore_f1",
    out_of_domain=True,
    needs=("questions",),
    draw=draw,
    pieces=question_pieces,
)
