"""QPR, query product ranking: order two to four products by how well they serve a query.

Source: the small version of Shopping Queries (ESCI), US; the products of a list have distinct labels.

    input    {"query": "usb c hub", "product list": ["A: Leather Wallet", "B: 7 in 1 USB C Hub", "C: USB C Cable"]}
    output   B,C,A
    metric   NDCG, gains E 1, S .1, C .01, I 0
"""

import json
from collections.abc import Sequence

from ecellm.errors import DataError
from ecellm.tasks.answers import LETTERS, Answers, Ranking, input_list, input_part
from ecellm.tasks.input_parsing import LETTER, Path, Truncation, pieces_by, texts_under, words
from ecellm.tasks.judgements import COLUMNS, facts_in, shown
from ecellm.tasks.metrics import GAINS
from ecellm.tasks.task import Column, Form, Given, Task
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example

LABELS = "ESCI"
#: The key of the products in the input.
LIST = "product list"
#: So many products are in a list.
MIN_PRODUCTS, MAX_PRODUCTS = 2, 4


def published(query: str, titles: list[str]) -> str:
    """Return the input of texts as they are shown."""
    listed = [f"{letter}: {title}" for letter, title in zip(LETTERS, titles, strict=False)]
    return json.dumps({"query": query, LIST: listed})


def write(given: Given) -> tuple[str, None]:
    """Return query and list as they are shown. Raises DataError for a list longer or shorter than those drawn."""
    titles = given["titles"]
    if not MIN_PRODUCTS <= len(titles) <= MAX_PRODUCTS:
        raise DataError(f"titles has {len(titles)} of them: {MIN_PRODUCTS} to {MAX_PRODUCTS} can be ranked.")
    return published(shown(given["query"], "query"), [shown(title, "titles") for title in titles]), None


def read(answer: list[str], given: Given) -> list[str]:
    """Return the titles as they were given, best first."""
    return [given["titles"][LETTERS.index(letter)] for letter in answer]


def compared(example: Example) -> list[TextPair]:
    """Return query and title for each product of the list, in order of the letters."""
    titles = [LETTER.sub("", str(title)) for title in input_list(example, LIST)]
    query = str(input_part(example, "query"))
    return [TextPair(query, title, (title,)) for title in titles]


def similar_titles_first(examples: Sequence[Example]) -> dict[str, Answers[list[str]]]:
    """Return the letters by how many words of the query the title has, most first, ties in list order."""
    return {"most similar title first": [_by_similarity(example) for example in examples]}


def _by_similarity(example: Example) -> list[str]:
    pairs = compared(example)
    query = words(pairs[0].left)
    order = sorted(range(len(pairs)), key=lambda place: -len(query & words(pairs[place].right)))
    return [LETTERS[place] for place in order]


def truncation(path: Path, value: str) -> Truncation | None:
    """Shorten the titles evenly, their letters never; the query last."""
    return Truncation(rank=1, label=True) if path[0] == LIST else Truncation(rank=10)


LISTED = Column("titles", "two to four products' titles", many=True, least=MIN_PRODUCTS, most=MAX_PRODUCTS)

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
    answer=Ranking(LIST, GAINS),
    metric="ndcg",
    out_of_domain=False,
    pieces=pieces_by(truncation),
    form=Form((COLUMNS[0], LISTED), write, read),
    facts=facts_in,
    texts=texts_under("query", LIST),
    compared=compared,
    judgements="MPC",
    trivial=similar_titles_first,
    verb="rank",
    sample_rows=(
        {"query": "usb c hub", "titles": ["Leather wallet", "USB C hub with seven ports", "USB C cable"]},
        {"query": "kids rain jacket", "titles": ["Rain jacket for children", "Rain jacket for men"]},
    ),
)
