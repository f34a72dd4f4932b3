"""Drawing PSI: judged pairs of Shopping Queries; yes where the product is a substitute."""

import ibis

from ecellm.data.samplers.base import Draw, Plan, Sampler
from ecellm.data.samplers.judgements import add_pair, drawn_pairs
from ecellm.data.schema import Store
from ecellm.tasks.psi import published


def draw(store: Store, plan: Plan) -> Draw:
    """Draw judged pairs in their natural proportions; a query's pairs all stand in one split."""
    found = Draw()
    rows = drawn_pairs(store, plan, "PSI", lambda judged: ibis.ifelse(judged.label == "S", "yes", "no"), found)
    for split, row in rows:
        text = published(row["query"], row["title"])
        add_pair(found, "PSI", split, row, text, row["answer"], None)
    return found


SAMPLER = Sampler(draw, needs=("products", "judgements"), has_classes=True, language="en")
