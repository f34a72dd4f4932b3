"""Drawing AP: questions of AmazonQA, in natural proportions."""

import ibis

from ecellm.data.samplers.base import CATEGORY, Draw, Plan, Sampler
from ecellm.data.samplers.questions import drawn_questions, question_sample
from ecellm.data.schema import Store


def draw(store: Store, plan: Plan) -> Draw:
    """Draw questions of the plan's categories from the source's own splits."""
    found = Draw()
    rows = drawn_questions(store, plan, "AP", lambda questions: ibis.literal(True), found)
    found.examples = [
        question_sample("AP", split, domain, row, "yes" if row["answerable"] else "no") for split, domain, row in rows
    ]
    return found


SAMPLER = Sampler(
    draw, needs=("questions",), columns=(("questions", "answerable"),), domains=(CATEGORY,), has_classes=True
)
