"""QPR, query product ranking: order two to four products by how well they serve a query.

Source: the small version of Shopping Queries (ESCI), US; the products of a list have distinct labels.

    input    {"query": "usb c hub", "product list": ["A: Leather Wallet", "B: 7 in 1 USB C Hub", "C: USB C Cable"]}
    output   B,C,A
    metric   NDCG, gains E 1, S .1, C .01, I 0
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ecellm.keys import keyed_choice, keyed_hash, keyed_shuffle
from ecellm.records import Sample, Split, sample_id
from ecellm.tasks.answers import LETTERS, Ranking
from ecellm.tasks.judgements import (
    COLUMNS,
    NO_TEXT,
    cleaned,
    fact,
    facts_in,
    in_domain,
    judged,
    product_key,
    shown,
)
from ecellm.tasks.pieces import Cut, Path, input_and_options, texts_under
from ecellm.tasks.task import Column, Draw, Form, Given, Pieces, Plan, Task

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

LABELS = "ESCI"
#: So many products are in a list.
FEWEST_PRODUCTS, MOST_PRODUCTS = 2, 4
#: Lists drawn from one query at most: more would show little but the same products again.
MOST_PER_QUERY = 12
#: Products of one label that are considered for a query's lists.
MOST_PER_LABEL = 8
#: Lists drawn in search of new ones before a query is given up.
MOST_TURNS = 4 * MOST_PER_QUERY


class Item(NamedTuple):
    """One product of a list."""

    label: str
    title: str
    product: str


class Ranked(NamedTuple):
    """One list on its way to become a sample."""

    key: str
    """What lists are ordered by, once every query has given as many."""
    query: str
    items: list[Item]


def draw(store: Store, plan: Plan) -> Draw:
    """Draw lists query by query. A list's length is drawn from 2 to 4 and lowered to the labels that its query
    has (the paper draws it again, which gives more lists of two)."""
    drawn = Draw()
    rows = judged(store, plan.seed, "QPR", drawn)
    small = rows.filter(rows.small)
    labels = small.group_by("name").agg(labels=small.label.nunique())
    wanted = small.semi_join(labels.filter(labels.labels >= 2), "name")
    for split, enough in in_domain(plan).items():
        found = _queries(store, wanted.filter(wanted.split == split), plan.seed, enough)
        lists = _in_rounds([_lists(name, judgements, plan.seed) for name, judgements in found.items()], enough)
        drawn.samples += [_sample(ranked, split) for ranked in lists]
        empty = [row for judgements in found.values() for row in judgements if not row["title"]]
        drawn.drop(NO_TEXT, len(empty), empty)
    return drawn


def _queries(store: Store, rows: ir.Table, seed: int, most: int) -> dict[str, list[dict[str, Any]]]:
    """Collect the judged rows, titles cleaned, of at most `most` queries, those with the smallest keys."""
    import ibis

    from ecellm.store import keyed

    queries = rows.select("name").distinct()
    queries = queries.mutate(order=keyed(seed, "QPR", queries.name)).order_by("order").limit(most)
    chosen = rows.semi_join(queries, "name")
    place = ibis.row_number().over(group_by=["name", "label"], order_by="key")
    chosen = chosen.mutate(place=place).filter(lambda t: t.place < MOST_PER_LABEL)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows(chosen.order_by("key")):
        found[row["name"]].append({**row, "title": cleaned(row["title"])})
    return found


def _in_rounds(queries: list[Iterator[Ranked]], most: int) -> list[Ranked]:
    """Return at most `most` lists, a list of each query in turn while they last; no more than these are made."""
    found: list[Ranked] = []
    while queries and len(found) < most:
        taken = [(lists, ranked) for lists in queries if (ranked := next(lists, None)) is not None]
        found += sorted((ranked for _, ranked in taken), key=lambda ranked: ranked.key)
        queries = [lists for lists, _ in taken]
    return found[:most]


def _lists(name: str, rows: list[dict[str, Any]], seed: int) -> Iterator[Ranked]:
    """Make a query's lists: one product per label, no two lists of the same products."""
    by_label: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        if row["title"]:
            by_label[row["label"]].append(Item(row["label"], row["title"], product_key(row)))
    labels = [label for label in LABELS if label in by_label]
    if len(labels) < 2:
        return
    made: set[frozenset[str]] = set()
    for turn in range(MOST_TURNS):
        length = min(2 + keyed_choice(3, seed, "QPR length", name, turn), len(labels))
        items = []
        for label in keyed_shuffle(labels, seed, "QPR labels", name, turn)[:length]:
            pool = by_label[label]
            items.append(pool[keyed_choice(len(pool), seed, "QPR product", name, turn, label)])
        titles = frozenset(item.title for item in items)
        if len(titles) == length and titles not in made:
            made.add(titles)
            yield Ranked(keyed_hash(seed, "QPR list", name, turn), rows[0]["query"], items)
        if len(made) == MOST_PER_QUERY:
            return


def _sample(ranked: Ranked, split: Split) -> Sample:
    items = ranked.items
    text = published(ranked.query, [item.title for item in items])
    order = sorted(range(len(items)), key=lambda place: LABELS.index(items[place].label))
    return Sample(
        id=sample_id("QPR", "IND", text, None),
        task="QPR",
        domain="IND",
        split=split,
        input=text,
        options=None,
        output=",".join(LETTERS[place] for place in order),
        labels=tuple(item.label for item in items),
        facts=tuple(fact(ranked.query, item.title) for item in items),
        products=tuple(item.product for item in items),
    )


def published(query: str, titles: list[str]) -> str:
    """Return the input of cleaned texts."""
    listed = [f"{letter}: {title}" for letter, title in zip(LETTERS, titles, strict=False)]
    return json.dumps({"query": query, "product list": listed})


def write(given: Given) -> tuple[str, None]:
    """Return query and list, cleaned. Raises ValueError for a list longer or shorter than those drawn."""
    titles = given["titles"]
    if not FEWEST_PRODUCTS <= len(titles) <= MOST_PRODUCTS:
        raise ValueError(f"titles has {len(titles)} of them: {FEWEST_PRODUCTS} to {MOST_PRODUCTS} can be ranked.")
    return published(shown(given, "query"), [shown({"titles": title}, "titles") for title in titles]), None


def read(answer: list[str], given: Given) -> list[str]:
    """Return the titles as they were given, best first."""
    return [given["titles"][LETTERS.index(letter)] for letter in answer]


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
    form=Form((COLUMNS[0], Column("titles", "two to four products' titles", many=True)), write, read),
    facts=facts_in,
    language="en",
    texts=texts_under("query", "product list"),
)
