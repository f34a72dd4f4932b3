"""QPR, query product ranking: order two to four products by how well they serve a query.

Source: the small version of Shopping Queries (ESCI), US; the products of a list have distinct labels.

    input    {"query": "usb c hub", "product list": ["A: Leather Wallet", "B: 7 in 1 USB C Hub", "C: USB C Cable"]}
    output   B,C,A
    metric   NDCG, gains E 1, S .1, C .01, I 0
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from ecellm.keys import keyed_choice, keyed_hash, keyed_shuffle
from ecellm.records import Sample, Split, sample_id
from ecellm.tasks.answers import LETTERS, Ranking
from ecellm.tasks.drawing import Row
from ecellm.tasks.judgements import (
    COLUMNS,
    NO_TEXT,
    fact,
    facts_in,
    in_domain,
    judged,
    product_key,
    shown,
    shown_query,
    shown_title,
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
#: Lists drawn in search of new ones before a query is given up; up to two thirds of the draws are too long for it.
MOST_TURNS = 12 * MOST_PER_QUERY


@dataclass
class Query:
    """The judged products of one query, by label, and what was made of them."""

    name: str
    by_label: dict[str, list[Row]] = field(default_factory=dict)
    made: set[frozenset[str]] = field(default_factory=set)
    """The titles of each list."""

    def gives_more(self) -> bool:
        """Say whether a further list may be made."""
        sizes = [len(rows) for rows in self.by_label.values()]
        possible = prod(1 + size for size in sizes) - 1 - sum(sizes)
        return len(self.made) < min(possible, MOST_PER_QUERY)


class Ranked(NamedTuple):
    """One list on its way to become a sample."""

    key: str
    """What the lists of one round are ordered by."""
    items: list[Row]


def draw(store: Store, plan: Plan) -> Draw:
    """Draw lists of products with distinct labels.

    As in the paper a list's length is drawn from 2 to 4, and query and length are drawn again where the query has too
    few labels. Queries take turns; the paper draws them with replacement.
    """
    drawn = Draw()
    rows = judged(store, plan, "QPR", drawn)
    small = rows.filter(rows.small)
    labels = small.group_by(["name", "split"]).agg(labels=small.label.nunique())
    wanted = small.semi_join(labels.filter(labels.labels >= FEWEST_PRODUCTS), ["name", "split"])
    for split, enough in in_domain(plan).items():
        queries = _queries(store, wanted.filter(wanted.split == split), plan.seed, enough, drawn)
        for ranked in _in_rounds(queries, plan.seed, enough):
            _add(drawn, ranked, split)
    return drawn


def _queries(store: Store, rows: ir.Table, seed: int, most: int, drawn: Draw) -> list[Query]:
    """Collect the judged rows, titles as they are shown, of at most `most` queries, those with the smallest keys."""
    import ibis

    from ecellm.store import keyed

    queries = rows.select("name").distinct()
    queries = queries.mutate(order=keyed(seed, "QPR", queries.name)).order_by("order").limit(most)
    chosen = rows.semi_join(queries, "name")
    place = ibis.row_number().over(group_by=["name", "label"], order_by="key")
    chosen = chosen.mutate(place=place).filter(lambda t: t.place < MOST_PER_LABEL)
    found: dict[str, Query] = {}
    for row in store.rows(chosen.order_by("key")):
        query = found.setdefault(row["name"], Query(row["name"]))
        title = shown_title(row["title"])
        if title.strip():
            query.by_label.setdefault(row["label"], []).append({**row, "shown": title})
        else:
            drawn.drop(NO_TEXT, 1, [row])
    return list(found.values())


def _in_rounds(queries: list[Query], seed: int, most: int) -> list[Ranked]:
    """Return at most `most` lists; in each round every query is drawn once more, until there are enough."""
    found: list[Ranked] = []
    for turn in range(MOST_TURNS):
        queries = [query for query in queries if query.gives_more()]
        if not queries or len(found) >= most:
            break
        lists = (_list(query, seed, turn) for query in queries)
        found += sorted((ranked for ranked in lists if ranked is not None), key=lambda ranked: ranked.key)
    return found[:most]


def _list(query: Query, seed: int, turn: int) -> Ranked | None:
    """Return a list of one product per label; None where the length drawn is more than the query has labels, or where
    these titles stand in a list already or twice in this one."""
    name = query.name
    length = FEWEST_PRODUCTS + keyed_choice(MOST_PRODUCTS - FEWEST_PRODUCTS + 1, seed, "QPR length", name, turn)
    labels = [label for label in LABELS if label in query.by_label]
    if length > len(labels):
        return None
    items = []
    for label in keyed_shuffle(labels, seed, "QPR labels", name, turn)[:length]:
        pool = query.by_label[label]
        items.append(pool[keyed_choice(len(pool), seed, "QPR product", name, turn, label)])
    titles = frozenset(item["shown"] for item in items)
    if len(titles) < length or titles in query.made:
        return None
    query.made.add(titles)
    return Ranked(keyed_hash(seed, "QPR list", name, turn), items)


def _add(drawn: Draw, ranked: Ranked, split: Split) -> None:
    """Add a list's sample to what was drawn."""
    items = ranked.items
    query, titles = shown_query(items[0]["query"]), [item["shown"] for item in items]
    labels = [item["label"] for item in items]
    text = published(query, titles)
    order = sorted(range(len(items)), key=lambda place: LABELS.index(labels[place]))
    sample = Sample(
        id=sample_id("QPR", "IND", text, None),
        task="QPR",
        domain="IND",
        split=split,
        input=text,
        options=None,
        output=",".join(LETTERS[place] for place in order),
        labels=tuple(labels),
        facts=tuple(fact(query, title) for title in titles),
        products=tuple(product_key(item) for item in items),
    )
    drawn.add(sample, (items[0]["query"], *(item["title"] for item in items)))


def published(query: str, titles: list[str]) -> str:
    """Return the input of texts as they are shown."""
    listed = [f"{letter}: {title}" for letter, title in zip(LETTERS, titles, strict=False)]
    return json.dumps({"query": query, "product list": listed})


def write(given: Given) -> tuple[str, None]:
    """Return query and list as they are shown. Raises ValueError for a list longer or shorter than those drawn."""
    titles = given["titles"]
    if not FEWEST_PRODUCTS <= len(titles) <= MOST_PRODUCTS:
        raise ValueError(f"titles has {len(titles)} of them: {FEWEST_PRODUCTS} to {MOST_PRODUCTS} can be ranked.")
    return published(shown(given["query"], "query"), [shown(title, "titles") for title in titles]), None


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
