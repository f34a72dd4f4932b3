"""Drawing judged query-product pairs, as the three ESCI tasks (MPC, PSI, QPR) share it.

A query, whatever its case and spacing, stands in one split for all three tasks: on the test side if any row of it is
there in the source, and that side is halved into validation and test by the query's key (the paper halves row by
row, which lets one query's judgements stand in both). Judgements of a user's own that say their split keep it. The
builder filters by language, on the texts as the source wrote them.
"""

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import Draw, Plan
from ecellm.data.samplers.drawing import draw_rows
from ecellm.data.schema import Row, Store, keyed
from ecellm.tasks.judgements import fact, normalised_words, shown_query, shown_title
from ecellm.types import Split, new_example

#: Queries that differ from their name in case alone: ASCII words, single spaces between them (RE2 and Java alike).
PLAIN = r"^[!-~]+( [!-~]+)*\z"
NO_TITLE = "judged product has no title or is not there"
NO_QUERY = "query is empty after cleaning"
NO_TEXT = "title is empty after cleaning"
REPEATED = "judgement repeats another"
#: What tells judged pairs apart.
PAIR = ["name", "product_id", "title"]


def query_name(query: str) -> str:
    """Return what tells queries apart."""
    return normalised_words(shown_query(query))


def judged(store: Store, plan: Plan, task: str, found: Draw) -> ir.Table:
    """Return one row per query and titled product; `found` counts what is filtered out.

    Columns: name (which tells queries apart), query and title (as the source wrote them), product_id, label, small,
    split, and key, by which the task's rows are drawn. Where one pair has several labels, the first in the alphabet
    stays. Rows whose split is given are all kept.
    """
    titles = store.catalogue("esci").filter(lambda t: t.title.notnull()).select("product_id", "title")
    rows = store.once("judgements", lambda: _named(store))
    worded = rows.filter(rows.name != "")
    joined = worded.inner_join(titles, "product_id")
    make = (lambda: joined) if plan.given_split else (lambda: _once(rows, joined, plan.seed))
    kept = store.once(f"judged pairs {plan.seed}", make)
    turn = ibis.row_number().over(group_by=PAIR, order_by="label")
    lost = (
        (NO_QUERY, rows.filter(rows.name == "")),
        (NO_TITLE, worded.anti_join(titles, "product_id")),
        (REPEATED, joined.mutate(turn=turn).filter(lambda t: t.turn > 0).drop("turn")),
    )
    counts = [store.count(table) for table in (rows, worded, joined, kept)]
    for step, (reason, left_out) in enumerate(lost):
        found.drop(reason, counts[step] - counts[step + 1], left_out)
    if plan.given_split:
        columns = (kept[name] for name in ("query", "product_id", "title", "label", "split"))
        return kept.mutate(key=keyed(plan.seed, task, *columns))
    return kept.mutate(key=keyed(plan.seed, task, kept.name, kept.product_id))


def _once(rows: ir.Table, joined: ir.Table, seed: int) -> ir.Table:
    """Return each pair of `joined` once, in the split of its query among all `rows`."""
    sides = rows.group_by("name").agg(tested=(rows.split == "test").max())
    half = keyed(seed, "ESCI split", sides.name) < "8"
    sides = sides.mutate(split=ibis.cases((~sides.tested, "train"), (half, "validation"), else_="test"))
    labels = joined.group_by(PAIR).agg(
        label=joined.label.min(), small=joined.small.max(), query=joined["query"].min()
    )
    return labels.inner_join(sides.drop("tested"), "name")


def drawn_pairs(
    store: Store, plan: Plan, task: str, answer: Callable[[ir.Table], ir.StringValue], found: Draw
) -> list[tuple[Split, Row]]:
    """Collect the judged rows that a task of single pairs draws; `answer` says which class a row is of, `found`
    counts what is filtered out. A row has its texts as they are shown, and as the source wrote them in `written`."""
    rows = judged(store, plan, task, found)
    rows = rows.mutate(category=ibis.literal(""), outside=ibis.literal(False), answer=answer(rows))
    drawn = draw_rows(store, rows, plan)
    kept = []
    for split in in_domain(plan):
        for row in drawn.rows(split, "IND"):
            query, title = shown_query(row["query"]), shown_title(row["title"])
            if title.strip():
                kept.append((split, {**row, "query": query, "title": title, "written": (row["query"], row["title"])}))
            else:
                found.drop(NO_TEXT, 1, [row])
    return kept


def add_pair(found: Draw, task: str, split: Split, row: Row, text: str, output: str, options: str | None) -> None:
    """Add the sample of one judged pair, as `drawn_pairs` gives it, to what was drawn."""
    facts, products = (fact(row["query"], row["title"]),), (product_key(row),)
    example = new_example(task, "IND", split, text, options, output, facts=facts, products=products)
    found.add(example, row["written"])


def product_key(row: Row) -> str:
    """Return the key of a judged row's product."""
    return f"esci|{row['product_id']}"


def in_domain(plan: Plan) -> dict[Split, int]:
    """Return how many rows to draw for each split that has an in-domain quota."""
    return {split: plan.enough(split, domain) for (split, domain), quota in plan.quotas.items() if quota}


def _named(store: Store) -> ir.Table:
    """Return the judgements with `name`, which tells queries apart.

    No engine has NFKD: the few queries that are not plain are named by Python and joined back.
    """
    rows = store["judgements"]
    odd = rows.filter(~rows["query"].re_search(PLAIN)).select("query").distinct()
    joined = rows.left_join(store.engine.mapped(odd, query_name), "query").drop("query_right")
    return joined.mutate(name=ibis.coalesce(joined.mapped, joined["query"].lower())).drop("mapped")
