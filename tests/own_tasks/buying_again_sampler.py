"""Drawing BA: review texts with their stars."""

import ibis

from ecellm.data.samplers import Draw, Plan, Sampler
from ecellm.data.samplers.drawing import draw_rows, split_of
from ecellm.data.schema import Store, keyed
from ecellm.types import Example, sample_id
from own_tasks.buying_again import write


def draw(store: Store, plan: Plan) -> Draw:
    """Draw distinct texts; the text decides the split."""
    texts = store["reviews"].group_by(["category", "text"]).agg(stars=lambda t: t.stars.max())
    key = keyed(plan.seed, "BA", texts.text)
    letter = ibis.cases((texts.stars > 3, "A"), (texts.stars == 3, "B"), else_="C")
    rows = texts.mutate(key=key, split=split_of(key), outside=ibis.literal(False), answer=letter)
    drawn = draw_rows(store, rows, plan)
    found = Draw()
    for split, domain in plan.quotas:
        for row in drawn.rows(split, domain):
            text, options = write(row)
            identity = sample_id("BA", domain, text, options)
            found.examples.append(Example(identity, "BA", domain, split, text, options, row["answer"]))
    return found


SAMPLER = Sampler(draw, needs=("reviews",), has_classes=True)
