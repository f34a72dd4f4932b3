"""Judged query-product pairs as the three ESCI tasks (MPC, PSI, QPR) share them: texts, columns, facts.

Texts are shown as in the published rows: a title's line breaks and four plain tags become spaces, both texts are
reduced by NFKD to ASCII, and nothing is collapsed or stripped.
"""

import json
import re
import unicodedata

from ecellm.errors import DataError
from ecellm.tasks.input_parsing import LETTER
from ecellm.tasks.task import Column
from ecellm.types import Example

#: What becomes a space in a title; other tags stay.
SPACES = re.compile(r"\s|</?p>|</?br>")


def shown_query(query: str) -> str:
    """Return a query as the published rows show it: NFKD, ASCII only."""
    return unicodedata.normalize("NFKD", query).encode("ascii", "ignore").decode("ascii")


def shown_title(title: str) -> str:
    """Return a title as the published rows show it: white space and plain tags to spaces, then as a query."""
    return shown_query(SPACES.sub(" ", title))


def normalised_words(text: str) -> str:
    """Return a shown text in lower case with single spaces: equal results are the same query or title."""
    return " ".join(text.split()).lower()


#: A question of one's own on one product.
COLUMNS = (Column("query", "a shopper's query"), Column("title", "title of a product"))


def shown(text: str, name: str) -> str:
    """Return a column's text as it is shown; raises DataError where nothing is left."""
    found = shown_query(text) if name == "query" else shown_title(text)
    if not found.strip():
        raise DataError(f"{name} is empty once letters beyond ASCII are gone.")
    return found


def fact(query: str, title: str) -> str:
    """Return the key of one judgement, whatever the case and spacing of its texts."""
    return f"judgement|{normalised_words(query)}|{normalised_words(title)}"


def facts_in(example: Example) -> tuple[str, ...]:
    """Return the judgements that a row of MPC, PSI or QPR gives away, read off its input; none where the input
    is in no known form."""
    try:
        read = json.loads(example.input)
        titles = read.get("product list") or [read.get("product title") or read["product"]]
        return tuple(fact(read["query"], LETTER.sub("", title)) for title in titles)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ()
