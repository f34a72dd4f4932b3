"""Shoppers' questions as the two AmazonQA tasks (AP, AG) share them: splits, forms, facts.

The source's own splits are used. A question text that stands in several of them belongs to the last for both
tasks, so that none is trained on by one task and tested by the other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ecellm.keys import SEPARATOR
from ecellm.records import Sample
from ecellm.tasks.pieces import Cut, Path, json_pieces
from ecellm.tasks.task import Pieces

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

NO_SNIPPETS = "question has no review snippets"
#: Snippets are cut from the last one on; this many may be told apart.
MOST_RANKS = 1000


def asked(store: Store, seed: int) -> ir.Table:
    """Return the questions that have snippets, each with the split of its text and the key for drawing."""
    import ibis

    from ecellm.store import keyed

    rows = store["questions"]
    rows = rows.mutate(name=rows.question.lower().strip())
    order = ibis.cases((rows.split == "train", 0), (rows.split == "validation", 1), else_=2)
    rows = rows.mutate(place=order).drop("split")
    last = rows.group_by("name").agg(last=rows.place.max())
    joined = rows.inner_join(last, "name").filter(lambda t: t.snippets.length() > 0)
    split = ibis.cases((joined["last"] == 0, "train"), (joined["last"] == 1, "validation"), else_="test")
    text = joined.snippets.join("\n")
    # The answers are part of the key: without them, rows that differ in them alone would come in any order.
    replies = joined.answers.map(lambda answer: answer.text + SEPARATOR + answer.helpful.cast("string")).join("\n")
    whole = (joined.question, joined.category, joined.product_id, joined.answerable.cast("int64"), text, replies)
    key = keyed(seed, "QA", joined.name, *whole)
    return joined.mutate(split=split, key=key).drop("name", "place", "last")


def without_snippets(store: Store) -> int:
    """Return how many questions have no snippets."""
    rows = store["questions"]
    return int(rows.filter(rows.snippets.length() == 0).count().to_pyarrow().as_py())


def question_input(row: dict[str, Any]) -> str:
    """Return the published input text."""
    return json.dumps({"question": row["question"], "document": row["snippets"]})


def fact(row: dict[str, Any]) -> str:
    """Return the key of the question that a row's answer gives away."""
    return f"question|{row['question'].strip().casefold()}"


def product_key(row: dict[str, Any]) -> str:
    """Return the key of the product asked about."""
    return f"amazon_qa|{row['product_id']}"


def question_pieces(sample: Sample) -> Pieces:
    """Drop snippets from the last one on, shorten the first, then the question."""

    def rule(path: Path, value: str) -> Cut | None:
        if path[0] == "question":
            return Cut(rank=MOST_RANKS + 2)
        place = int(path[1])
        if place == 0:
            return Cut(rank=MOST_RANKS + 1, mark="snippet")
        return Cut(rank=MOST_RANKS - place, how="drop", mark="snippet")

    return Pieces(json_pieces(sample.input, rule))
