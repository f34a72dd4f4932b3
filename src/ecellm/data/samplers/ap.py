"""Drawing AP: questions of AmazonQA, in natural proportions."""

from ecellm.data.samplers.base import CATEGORY, Draw, Plan, Sampler
from ecellm.data.samplers.questions import WITHOUT_SNIPPETS, drawn_questions, question_sample
from ecellm.data.schema import Store


def draw(store: Store, plan: Plan) -> Draw:
    """Draw questions of the plan's categories from the source's own splits."""
    found = Draw()
    rows = drawn_questions(store, plan, "AP", WITHOUT_SNIPPETS, found)
    found.examples = [
        question_sample("AP", split, domain, row, "yes" if row["answerable"] else "no") for split, domain, row in rows
    ]
    return found


SAMPLER = Sampler(
    draw, needs=("questions",), columns=(("questions", "answerable"),), domains=(CATEGORY,), has_classes=True
)
