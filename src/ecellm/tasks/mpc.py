"""MPC, multiclass product classification: how does a product stand to a query?

Source: Shopping Queries (ESCI), US. A is an exact answer, B a substitute, C a complement, D irrelevant.

    input    {"query": "mama koala", "product title": "Mama Koala One Size Baby Washable Cloth Diapers, 6 Pack"}
    options  ["A: The product is exactly what the query asks for", "B: The product ...", ...]
    output   A: The product is exactly what the query asks for
    metric   accuracy
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from ecellm.records import Sample, sample_id
from ecellm.tasks.answers import Letter
from ecellm.tasks.drawing import first_by_split
from ecellm.tasks.judgements import NO_TEXT, NO_TITLE, fact, in_domain, judged, product_key, texts
from ecellm.tasks.pieces import Cut, Path, input_and_options
from ecellm.tasks.task import Draw, Pieces, Plan, Task

if TYPE_CHECKING:
    from ecellm.store import Store

LABELS = "ESCI"
OPTIONS = [
    "A: The product is exactly what the query asks for",
    "B: The product is not what the query asks for, but could take its place",
    "C: The product is not what the query asks for, but goes well with it",
    "D: The product has nothing to do with the query",
]


def draw(store: Store, plan: Plan) -> Draw:
    """Draw judged pairs; a query's pairs all stand in one split."""
    rows, left_out = judged(store, plan.seed)
    dropped = Counter({NO_TITLE: left_out})
    options = json.dumps(OPTIONS)
    samples = []
    counts = {split: plan.enough(split, "IND") for split in in_domain(plan.quotas)}
    for split, found in first_by_split(rows, "key", counts).items():
        for row in found:
            pair = texts(row)
            if pair is None:
                dropped[NO_TEXT] += 1
                continue
            text = json.dumps({"query": pair[0], "product title": pair[1]})
            samples.append(
                Sample(
                    id=sample_id("MPC", "IND", text, options),
                    task="MPC",
                    domain="IND",
                    split=split,
                    input=text,
                    options=options,
                    output=OPTIONS[LABELS.index(row["label"])],
                    facts=(fact(*pair),),
                    products=(product_key(row),),
                )
            )
    return Draw(samples, +dropped)


def pieces(sample: Sample) -> Pieces:
    """Cut the title first, then the options, the query last."""

    def rule(path: Path, value: str) -> Cut | None:
        return Cut(rank=1) if path == ("product title",) else Cut(rank=10)

    return input_and_options(sample, rule)


TASK = Task(
    name="MPC",
    title="Multiclass_Product_Classification",
    aliases=(),
    instructions=(
        "How well does the product serve the search query? Choose the option that fits best.",
        "A shopper typed the query and was shown the product. Pick the option that says how the two relate.",
        "Judge the product against the query and answer with one of the options.",
        "Decide if the product is an exact hit, a stand-in, an accessory or out of place for this query; "
        "give the matching option.",
        "Read the query and the product title, then select the option that describes their relation.",
        "Rate this search result for the query by naming the option that applies.",
    ),
    answer=Letter("ABCDE", whole_option=True),
    metric="accuracy",
    out_of_domain=False,
    needs=("products", "judgements"),
    draw=draw,
    pieces=pieces,
)
