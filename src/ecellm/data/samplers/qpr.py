"""Drawing QPR: lists of products of distinct labels, from the small version of Shopping Queries."""

from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import Draw, Plan, Sampler
from ecellm.data.samplers.judgements import NO_TEXT, in_domain, judged, product_key
from ecellm.data.schema import Row, Store, keyed
from ecellm.io.hashing import keyed_choice, keyed_hash, keyed_shuffle
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.judgements import fact, shown_query, shown_title
from ecellm.tasks.qpr import LABELS, MAX_PRODUCTS, MIN_PRODUCTS, published
from ecellm.types import Split, new_example

NOT_SMALL = "judgement is not of the small version"
FEW_LABELS = f"products of the query have fewer than {MIN_PRODUCTS} labels"
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
    wanted = _wanted(store, judged(store, plan, "QPR", drawn), drawn)
    for split, enough in in_domain(plan).items():
        queries = _queries(store, wanted.filter(wanted.split == split), plan.seed, enough, drawn)
        for ranked in _in_rounds(queries, plan.seed, enough):
            _add(drawn, ranked, split)
    return drawn


def _wanted(store: Store, rows: ir.Table, drawn: Draw) -> ir.Table:
    """Return the judgements of which lists can be made; `drawn` counts the others."""
    small = rows.filter(rows.small)
    labels = small.group_by(["name", "split"]).agg(labels=small.label.nunique())
    few = labels.filter(labels.labels < MIN_PRODUCTS)
    for reason, left_out in (
        (NOT_SMALL, rows.filter(~rows.small)),
        (FEW_LABELS, small.semi_join(few, ["name", "split"])),
    ):
        drawn.drop(reason, store.count(left_out), left_out)
    return small.anti_join(few, ["name", "split"])


def _queries(store: Store, rows: ir.Table, seed: int, most: int, drawn: Draw) -> list[Query]:
    """Collect the judged rows, titles as they are shown, of at most `most` queries, those with the smallest keys."""
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
    length = MIN_PRODUCTS + keyed_choice(MAX_PRODUCTS - MIN_PRODUCTS + 1, seed, "QPR length", name, turn)
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
    example = new_example(
        "QPR",
        "IND",
        split,
        text,
        None,
        ",".join(LETTERS[place] for place in order),
        labels=tuple(labels),
        facts=tuple(fact(query, title) for title in titles),
        products=tuple(product_key(item) for item in items),
    )
    drawn.add(example, (items[0]["query"], *(item["title"] for item in items)))


SAMPLER = Sampler(draw, needs=("products", "judgements"), language="en")
