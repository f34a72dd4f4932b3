"""QPR, query product ranking: order two to four products by how well they serve a query.

Source: the small version of Shopping Queries (ESCI), US; the products of a list have distinct labels.

    input    {"query": "usb c hub", "product list": ["A: Leather Wallet", "B: 7 in 1 USB C Hub", "C: USB C Cable"]}
    output   B,C,A
    metric   NDCG, gains E 1, S .1, C .01, I 0
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from ecellm.keys import keyed_choice, keyed_hash, keyed_shuffle
from ecellm.records import Sample, Split, sample_id
from ecellm.tasks.answers import LETTERS, Ranking
from ecellm.tasks.judgements import NO_TEXT, NO_TITLE, fact, in_domain, judged, product_key, texts
from ecellm.tasks.pieces import Cut, Path, input_and_options
from ecellm.tasks.task import Draw, Pieces, Plan, Task

if TYPE_CHECKING:
    from ecellm.store import Store

LABELS = "ESCI"
#: Lists drawn from one query at most: more would show little but the same products again.
MOST_PER_QUERY = 12
#: Products of one label that are considered for a query's lists.
MOST_PER_LABEL = 8


def draw(store: Store, plan: Plan) -> Draw:
    """Draw lists query by query. A list's length is drawn from 2 to 4 and lowered to the labels that its query
    has (the paper redraws it, which favours queries with many labels the same way)."""
    rows, left_out = judged(store, plan.seed)
    dropped = Counter({NO_TITLE: left_out})
    small = rows.filter(rows.small)
    ranked = small.group_by(["query", "split"]).agg(labels=small.label.nunique())
    wanted = small.semi_join(ranked.filter(ranked.labels >= 2), ["query", "split"])
    samples: list[Sample] = []
    for split in in_domain(plan.quotas):
        enough = plan.enough(split, "IND")
        chosen = _queries(wanted.filter(wanted.split == split), plan.seed, enough)
        lists = [made for query in chosen for made in _lists(query, chosen[query], plan.seed, dropped)]
        lists.sort(key=lambda made: (made[0], made[1]))
        samples += [_sample(query, items, split) for _, _, query, items in lists[:enough]]
    return Draw(samples, +dropped)


def _queries(rows: Any, seed: int, most: int) -> dict[str, list[dict[str, Any]]]:
    """Collect the judged rows of at most `most` queries, those with the smallest keys."""
    from ecellm.store import keyed

    queries = rows.select("query").distinct()
    queries = queries.mutate(order=keyed(seed, "QPR", queries["query"])).order_by("order").limit(most)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.semi_join(queries, "query").order_by("key").to_pyarrow().to_pylist():
        found[row["query"]].append(row)
    return found


def _lists(
    query: str, rows: list[dict[str, Any]], seed: int, dropped: Counter[str]
) -> list[tuple[int, str, str, list[tuple[str, str, str]]]]:
    """Return a query's lists as (round, key, query, [(label, title, product key)]), product sets distinct.

    The first list of each query comes before any query's second, so that many queries are seen.
    """
    by_label: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    name = ""
    for row in rows:
        pair = texts(row)
        if pair is None:
            dropped[NO_TEXT] += 1
            continue
        name = pair[0]
        if len(by_label[row["label"]]) < MOST_PER_LABEL:
            by_label[row["label"]].append((row["label"], pair[1], product_key(row)))
    labels = [label for label in LABELS if by_label.get(label)]
    if len(labels) < 2:
        return []
    made: dict[frozenset[str], tuple[int, str, str, list[tuple[str, str, str]]]] = {}
    for turn in range(4 * MOST_PER_QUERY):
        if len(made) == MOST_PER_QUERY:
            break
        length = min(2 + keyed_choice(3, seed, "QPR length", query, turn), len(labels))
        used = keyed_shuffle(labels, seed, "QPR labels", query, turn)[:length]
        pools = [by_label[label] for label in used]
        items = [
            pool[keyed_choice(len(pool), seed, "QPR product", query, turn, label)]
            for label, pool in zip(used, pools, strict=True)
        ]
        titles = frozenset(title for _, title, _ in items)
        if len(titles) == length and titles not in made:
            made[titles] = (len(made), keyed_hash(seed, "QPR list", query, turn), name, items)
    return list(made.values())


def _sample(query: str, items: list[tuple[str, str, str]], split: Split) -> Sample:
    shown = [f"{letter}: {title}" for letter, (_, title, _) in zip(LETTERS, items, strict=False)]
    text = json.dumps({"query": query, "product list": shown})
    order = sorted(range(len(items)), key=lambda place: LABELS.index(items[place][0]))
    return Sample(
        id=sample_id("QPR", "IND", text, None),
        task="QPR",
        domain="IND",
        split=split,
        input=text,
        options=None,
        output=",".join(LETTERS[place] for place in order),
        labels=tuple(label for label, _, _ in items),
        facts=tuple(fact(query, title) for _, title, _ in items),
        products=tuple(key for _, _, key in items),
    )


def pieces(sample: Sample) -> Pieces:
    """Shorten the titles evenly, their letters never; the query last."""

    def rule(path: Path, value: str) -> Cut | None:
        return Cut(rank=1, label=True) if path[0] == "product list" else Cut(rank=10)

    return input_and_options(sample, rule)


TASK = Task(
    name="QPR",
    title="Query_Product_Rank",
    aliases=("Query_Product_Ranking",),
    instructions=(
        "Rank the products by how well they serve the query, best first. Give only the letters, divided by commas.",
        "Sort the listed products from most to least relevant to the query and output their letters, such as B,A,C.",
        "Which product should a shopper with this query see first, which next? List all letters in that order, "
        "separated by commas.",
        "Order the letters of the products by relevance to the query, the closest match in front, commas "
        "between them.",
        "Put the search results in the right order for the query: letters only, comma-separated, best one first.",
        "Arrange the product letters so that the one answering the query best comes first and the worst comes "
        "last; use commas.",
    ),
    answer=Ranking(),
    metric="ndcg",
    out_of_domain=False,
    needs=("products", "judgements"),
    draw=draw,
    pieces=pieces,
)
