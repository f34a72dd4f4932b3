"""Drawing MPC: judged pairs of Shopping Queries."""

from ecellm.data.samplers.base import Draw, Plan, Sampler
from ecellm.data.samplers.judgements import add_pair, drawn_pairs
from ecellm.data.schema import Store
from ecellm.tasks.mpc import LABELS, OPTIONS, published


def draw(store: Store, plan: Plan) -> Draw:
    """Draw judged pairs; a query's pairs all stand in one split."""
    found = Draw()
    rows = drawn_pairs(store, plan, "MPC", lambda judged: judged.label, found)
    for split, row in rows:
        text, options = published(row["query"], row["title"])
        output = OPTIONS[LABELS.index(row["label"])]
        add_pair(found, "MPC", split, row, text, output, options)
    return found


SAMPLER = Sampler(draw, needs=("products", "judgements"), has_classes=True, language="en")
