"""Drawing PSI: judged pairs of Shopping Queries; yes where the product is a substitute."""

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import Draw, Plan, Sampler
from ecellm.data.samplers.judgements import add_pair, drawn_pairs
from ecellm.data.schema import Store
from ecellm.tasks.psi import published


def draw(store: Store, plan: Plan) -> Draw:
    """Draw judged pairs in their natural proportions; a query's pairs all stand in one split."""
    found = Draw()
    rows = drawn_pairs(store, plan, "PSI", _substitute, found)
    for split, row in rows:
        text = published(row["query"], row["title"])
        add_pair(found, "PSI", split, row, text, row["answer"], None)
    return found


def _substitute(rows: ir.Table) -> ir.StringValue:
    return ibis.ifelse(rows.label == "S", "yes", "no")


SAMPLER = Sampler(draw, needs=("products", "judgements"), has_classes=True, language="en")
