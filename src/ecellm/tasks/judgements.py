"""Judged query-product pairs as the three ESCI tasks (MPC, PSI, QPR) share them: texts, splits, facts.

Texts are cleaned as in the paper: white space and simple tags to spaces, then NFKD to ASCII. A query stands in
one split for all three tasks: on the test side if any row of the same query text is there in the source, and
that side is halved into validation and test by the query's key (the paper halves row by row, which lets one
query's judgements stand in both). Language is not filtered here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from ecellm.records import Split

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

TAG = re.compile(r"</?[a-zA-Z][^<>]{0,40}>")
NO_TITLE = "judged product has no title or is not there"
NO_TEXT = "query or title is empty after cleaning"


def cleaned(text: str) -> str:
    """Return the text as the published rows show it: tags and white space to single spaces, ASCII only."""
    ascii_text = unicodedata.normalize("NFKD", TAG.sub(" ", text)).encode("ascii", "ignore").decode("ascii")
    return " ".join(ascii_text.split())


def fact(query: str, title: str) -> str:
    """Return the key of one judgement; its texts are cleaned, so that equal pairs share it."""
    return f"judgement|{query.casefold()}|{title.casefold()}"


def judged(store: Store, seed: int) -> tuple[ir.Table, int]:
    """Return one row per query text and product with its title, label and split, and the rows left out.

    Columns: query, product_id, title, label, small, split, and `key`, by which rows are drawn. Where one pair
    has several labels, the first in the alphabet stays.
    """
    import ibis

    from ecellm.store import keyed

    products = store["products"]
    titles = products.filter((products.catalogue == "esci") & products.title.notnull())
    rows = store["judgements"]
    joined = rows.inner_join(titles.select("product_id", "title"), "product_id")
    name = joined["query"].lower().strip()
    joined = joined.mutate(name=name)
    sides = joined.group_by("name").agg(tested=(joined.split == "test").max())
    joined = joined.inner_join(sides, "name")
    half = keyed(seed, "ESCI split", joined.name) < "8"
    split = ibis.cases((~joined.tested, "train"), (half, "validation"), else_="test")
    grouped = joined.mutate(split=split).group_by(["name", "product_id", "title", "split"])
    once = grouped.agg(query=joined["query"].min(), label=joined.label.min(), small=joined.small.max())
    once = once.mutate(key=keyed(seed, "ESCI", once.name, once.product_id))
    left_out = int(rows.count().to_pyarrow().as_py()) - int(joined.count().to_pyarrow().as_py())
    return once.drop("name"), left_out


def texts(row: dict[str, Any]) -> tuple[str, str] | None:
    """Return a judged row's query and title, cleaned, or None where one is empty."""
    query, title = cleaned(row["query"]), cleaned(row["title"])
    return (query, title) if query and title else None


def product_key(row: dict[str, Any]) -> str:
    """Return the key of a judged row's product."""
    return f"esci|{row['product_id']}"


def in_domain(quotas: Any) -> list[Split]:
    """Return the splits that have an in-domain quota."""
    return [split for (split, domain), count in quotas.items() if domain == "IND" and count]
