"""Judged query-product pairs as the three ESCI tasks (MPC, PSI, QPR) share them: texts, splits, facts.

Texts are cleaned as in the paper: white space and simple tags to spaces, then NFKD to ASCII. A query, told by
its cleaned text in lower case, stands in one split for all three tasks: on the test side if any row of it is
there in the source, and that side is halved into validation and test by the query's key (the paper halves row
by row, which lets one query's judgements stand in both). Which language a text is in, the builder asks.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ecellm.records import Sample, Split, sample_id
from ecellm.tasks.drawing import draw_rows
from ecellm.tasks.pieces import LETTER
from ecellm.tasks.task import Column, Draw, Given, Plan

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

TAG = re.compile(r"</?[a-zA-Z][^<>]{0,40}>")
#: Texts that cleaning leaves as they are: ASCII words, single spaces between them, no tag (RE2 and Java alike).
CLEAN_ALREADY = r"^[!-;=-~]+( [!-;=-~]+)*\z"

NO_TITLE = "judged product has no title or is not there"
NO_QUERY = "query is empty after cleaning"
NO_TEXT = "title is empty after cleaning"
REPEATED = "judgement repeats another"


def cleaned(text: str) -> str:
    """Return the text as the published rows show it: tags and white space to single spaces, ASCII only."""
    ascii_text = unicodedata.normalize("NFKD", TAG.sub(" ", text)).encode("ascii", "ignore").decode("ascii")
    return " ".join(ascii_text.split())


#: A question of one's own on one product.
COLUMNS = (Column("query", "a shopper's query"), Column("title", "title of a product"))


def shown(given: Given, name: str) -> str:
    """Return a column's text cleaned; raises ValueError where nothing is left."""
    text = cleaned(given[name])
    if not text:
        raise ValueError(f"{name} is empty once tags and letters beyond ASCII are gone.")
    return text


def fact(query: str, title: str) -> str:
    """Return the key of one judgement; its texts are cleaned, so that equal pairs share it."""
    return f"judgement|{query.lower()}|{title.lower()}"


def facts_in(sample: Sample) -> tuple[str, ...]:
    """Return the judgements that a row of MPC, PSI or QPR gives away, read off its input; none where the input
    is in no known form."""
    try:
        read = json.loads(sample.input)
        titles = read.get("product list") or [read.get("product title") or read["product"]]
        return tuple(fact(cleaned(read["query"]), cleaned(LETTER.sub("", title))) for title in titles)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ()


def judged(store: Store, seed: int, task: str, found: Draw) -> ir.Table:
    """Return one row per query and titled product; `found` counts what is left out.

    Columns: name (which tells queries apart), query (cleaned), product_id, title (as the source wrote it),
    label, small, split, and key, by which the task's rows are drawn. Where one pair has several labels, the
    first in the alphabet stays.
    """
    import ibis

    from ecellm.store import keyed

    titles = store.catalogue("esci").filter(lambda t: t.title.notnull())
    rows = store.once("judgements", lambda: _named(store))
    sides = rows.group_by("name").agg(query=rows.shown.min(), tested=(rows.split == "test").max())
    half = keyed(seed, "ESCI split", sides.name) < "8"
    sides = sides.mutate(split=ibis.cases((~sides.tested, "train"), (half, "validation"), else_="test"))
    worded = rows.filter(rows.name != "").drop("query", "split", "shown")
    joined = worded.inner_join(titles.select("product_id", "title"), "product_id")
    pair = ["name", "product_id", "title"]
    labels = joined.group_by(pair).agg(label=joined.label.min(), small=joined.small.max())
    once = store.once(f"judged pairs {seed}", lambda: labels.inner_join(sides.drop("tested"), "name"))
    turn = ibis.row_number().over(group_by=pair, order_by="label")
    lost = (
        (NO_QUERY, rows.filter(rows.name == "")),
        (NO_TITLE, worded.anti_join(titles, "product_id")),
        (REPEATED, joined.mutate(turn=turn).filter(lambda t: t.turn > 0).drop("turn")),
    )
    counts = [store.count(table) for table in (rows, worded, joined, once)]
    for step, (reason, left_out) in enumerate(lost):
        found.drop(reason, counts[step] - counts[step + 1], left_out)
    return once.mutate(key=keyed(seed, task, once.name, once.product_id))


def drawn_pairs(
    store: Store, plan: Plan, task: str, answer: Callable[[ir.Table], ir.StringValue], found: Draw
) -> list[tuple[Split, dict[str, Any]]]:
    """Collect the judged rows that a task of single pairs draws, their titles cleaned; `answer` says which class
    a row is of, `found` counts what is left out."""
    import ibis

    rows = judged(store, plan.seed, task, found)
    rows = rows.mutate(category=ibis.literal(""), outside=ibis.literal(False), answer=answer(rows))
    drawn = draw_rows(store, rows, plan)
    kept = []
    for split in in_domain(plan):
        for row in drawn.rows(split, "IND"):
            title = cleaned(row["title"])
            if title:
                kept.append((split, {**row, "title": title}))
            else:
                found.drop(NO_TEXT, 1, [row])
    return kept


def pair_sample(task: str, split: Split, row: dict[str, Any], text: str, output: str, options: str | None) -> Sample:
    """Return the sample of one judged pair, as `drawn_pairs` gives it."""
    return Sample(
        id=sample_id(task, "IND", text, options),
        task=task,
        domain="IND",
        split=split,
        input=text,
        options=options,
        output=output,
        facts=(fact(row["query"], row["title"]),),
        products=(product_key(row),),
    )


def product_key(row: dict[str, Any]) -> str:
    """Return the key of a judged row's product."""
    return f"esci|{row['product_id']}"


def in_domain(plan: Plan) -> dict[Split, int]:
    """Return how many rows to draw for each split that has an in-domain quota."""
    return {split: plan.enough(split, domain) for (split, domain), quota in plan.quotas.items() if quota}


def _named(store: Store) -> ir.Table:
    """Return the judgements with `shown`, the query cleaned, and `name`, the same in lower case.

    No engine has NFKD: the few queries that need cleaning are cleaned by Python and joined back.
    """
    import ibis

    rows = store["judgements"]
    unclean = rows.filter(~rows["query"].re_search(CLEAN_ALREADY)).select("query").distinct()
    joined = rows.left_join(store.engine.mapped(unclean, cleaned), "query").drop("query_right")
    shown = ibis.coalesce(joined.mapped, joined["query"])
    return joined.mutate(shown=shown, name=shown.lower()).drop("mapped")
