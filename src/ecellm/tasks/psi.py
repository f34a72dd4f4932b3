"""PSI, product substitute identification: can the product stand in for what the query asks for?

Source: Shopping Queries (ESCI), US; yes where the pair is judged a substitute.

    input    {"query": "iphone 7 case", "product": "Slim Bumper Cover for iPhone 8, Clear"}
    output   yes
    metric   F1 of yes
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ecellm.records import Sample
from ecellm.tasks.answers import YesNo
from ecellm.tasks.judgements import COLUMNS, add_pair, drawn_pairs, facts_in, shown
from ecellm.tasks.pieces import Cut, Path, input_and_options, texts_under
from ecellm.tasks.task import Draw, Form, Given, Pieces, Plan, Task

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store


def draw(store: Store, plan: Plan) -> Draw:
    """Draw judged pairs in their natural proportions; a query's pairs all stand in one split."""
    found = Draw()
    rows = drawn_pairs(store, plan, "PSI", _substitute, found)
    for split, row in rows:
        text = published(row["query"], row["title"])
        add_pair(found, "PSI", split, row, text, row["answer"], None)
    return found


def published(query: str, title: str) -> str:
    """Return the input of texts as they are shown."""
    return json.dumps({"query": query, "product": title})


def write(given: Given) -> tuple[str, None]:
    """Return the pair as it is shown."""
    return published(shown(given["query"], "query"), shown(given["title"], "title")), None


def _substitute(rows: ir.Table) -> ir.StringValue:
    import ibis

    return ibis.ifelse(rows.label == "S", "yes", "no")


def pieces(sample: Sample) -> Pieces:
    """Cut the product's title first, the query last."""

    def rule(path: Path, value: str) -> Cut | None:
        return Cut(rank=1) if path == ("product",) else Cut(rank=10)

    return input_and_options(sample, rule)


TASK = Task(
    name="PSI",
    title="Product_Substitute_Identification",
    aliases=("Product_Substitue_Identification",),
    instructions=(
        "Is the product a substitute for what the query asks for: not the very thing, but able to do the same "
        "job? Answer yes or no.",
        "Say yes if a shopper with this query could settle for the product in place of the wanted one, else no.",
        "The query names a want and the product may only partly meet it. Reply yes if it works as a "
        "replacement, otherwise no.",
        "Could this product take the place of the item searched for? Respond with yes or no.",
        "Tell whether the product functions as an alternative to the query's target. Output yes or no.",
        "Suppose the searched item is sold out: would this product be a fair stand-in? yes or no.",
    ),
    answer=YesNo(),
    metric="f1",
    out_of_domain=False,
    needs=("products", "judgements"),
    draw=draw,
    pieces=pieces,
    form=Form(COLUMNS, write),
    facts=facts_in,
    classes=True,
    language="en",
    texts=texts_under("query", "product"),
)
