"""AG, answer generation: answer a shopper's question from review snippets.

Source: AmazonQA, answerable and descriptive questions; the answer with the most helpful votes, first on ties. A
question none of whose answers has a helpful vote is skipped.

    input    {"question": "how loud is the fan?", "document": ["the fan is so quiet that we sleep well", ...]}
    output   It is very quiet, you can sleep next to it.
    metric   BERTScore F1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecellm.tasks.answers import FreeText
from ecellm.tasks.pieces import texts_under
from ecellm.tasks.questions import FORM, drawn_questions, facts_in, question_pieces, question_sample
from ecellm.tasks.task import CATEGORY, Draw, Plan, Task

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

NO_ANSWER = "question has no answer with text"


def draw(store: Store, plan: Plan) -> Draw:
    """Draw answerable, descriptive questions with an answer that somebody found helpful."""
    found = Draw()

    def eligible(questions: ir.Table) -> ir.BooleanValue:
        return questions.answerable & (questions.kind == "descriptive")

    rows = drawn_questions(store, plan, "AG", eligible, found, voted=True)
    for split, domain, row in rows:
        answer = best_answer(row["answers"])
        if answer is None:
            found.drop(NO_ANSWER, 1, [row])
        else:
            found.samples.append(question_sample("AG", split, domain, row, answer))
    return found


def best_answer(answers: list[dict[str, Any]]) -> str | None:
    """Return the text of the answer with the most helpful votes, the first on ties; None where none that has a text
    has a vote. Where votes are not known (null), an answer counts as if one reader had found it helpful."""
    voted = [answer for answer in answers if answer["text"].strip() and _votes(answer) > 0]
    return max(voted, key=_votes)["text"] if voted else None


def _votes(answer: dict[str, Any]) -> int:
    return 1 if answer["helpful"] is None else int(answer["helpful"])


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
    form=FORM,
    facts=facts_in,
    domains=(CATEGORY,),
    texts=texts_under("question"),
)
