"""MPC, multiclass product classification: how does a product stand to a query?

Source: Shopping Queries (ESCI), US. A is an exact answer, B a substitute, C a complement, D irrelevant.

    input    {"query": "mama koala", "product title": "Mama Koala One Size Baby Washable Cloth Diapers, 6 Pack"}
    options  ["A: The product is exactly what the query asks for", "B: The product ...", ...]
    output   A: The product is exactly what the query asks for
    metric   accuracy
"""

import json

from ecellm.tasks.answers import LETTERS, Letter
from ecellm.tasks.input_parsing import Path, Truncation, pieces_by, texts_under
from ecellm.tasks.judgements import COLUMNS, facts_in, shown
from ecellm.tasks.task import Form, Given, Task
from ecellm.tasks.text_pairs import two_values

LABELS = "ESCI"
NAMES = ("exact", "substitute", "complement", "irrelevant")
OPTIONS = [
    "A: The product is exactly what the query asks for",
    "B: The product is not what the query asks for, but could take its place",
    "C: The product is not what the query asks for, but goes well with it",
    "D: The product has nothing to do with the query",
]


def published(query: str, title: str) -> tuple[str, str]:
    """Return input and options of texts as they are shown."""
    return json.dumps({"query": query, "product title": title}), json.dumps(OPTIONS)


def write(given: Given) -> tuple[str, str]:
    """Return the pair as it is shown, and the options."""
    return published(shown(given["query"], "query"), shown(given["title"], "title"))


def read(answer: str, given: Given) -> str:
    """Return the label's name."""
    return NAMES[LETTERS.index(answer)]


def truncation(path: Path, value: str) -> Truncation | None:
    """Truncate the title first, then the options, the query last."""
    return Truncation(rank=1) if path == ("product title",) else Truncation(rank=10)


TASK = Task(
    name="MPC",
    title="Multiclass_Product_Classification",
    instructions=(
        "How well does the product serve the search query? Choose the option that fits best.",
        "A shopper typed the query and was shown the product. Pick the option that says how the two relate.",
        "Judge the product against the query and answer with one of the options.",
        "Decide if the product is an exact hit, a stand-in, an accessory or out of place for this query; "
        "give the matching option.",
        "Read the query and the product title, then select the option that describes their relation.",
        "Rate this search result for the query by naming the option that applies.",
    ),
    answer=Letter("ABCDE", whole_option=True),
    metric="accuracy",
    out_of_domain=False,
    pieces=pieces_by(truncation),
    form=Form(COLUMNS, write, read),
    facts=facts_in,
    texts=texts_under("query", "product title"),
    compared=two_values,
    verb="judge",
    sample_rows=(
        {"query": "usb c charger 65w", "title": "USB C cable, 2 m, braided"},
        {"query": "waterproof hiking boots women", "title": "Women's hiking boots, waterproof, brown"},
    ),
)
