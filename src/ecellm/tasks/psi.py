"""PSI, product substitute identification: can the product stand in for what the query asks for?

Source: Shopping Queries (ESCI), US; yes where the pair is judged a substitute.

    input    {"query": "iphone 7 case", "product": "Slim Bumper Cover for iPhone 8, Clear"}
    output   yes
    metric   F1 of yes
"""

import json

from ecellm.tasks.answers import YesNo
from ecellm.tasks.input_parsing import Path, Truncation, pieces_by, texts_under
from ecellm.tasks.judgements import COLUMNS, facts_in, shown
from ecellm.tasks.task import Form, Given, Task
from ecellm.tasks.text_pairs import two_values


def published(query: str, title: str) -> str:
    """Return the input of texts as they are shown."""
    return json.dumps({"query": query, "product": title})


def write(given: Given) -> tuple[str, None]:
    """Return the pair as it is shown."""
    return published(shown(given["query"], "query"), shown(given["title"], "title")), None


def truncation(path: Path, value: str) -> Truncation | None:
    """Truncate the product's title first, the query last."""
    return Truncation(rank=1) if path == ("product",) else Truncation(rank=10)


TASK = Task(
    name="PSI",
    title="Product_Substitute_Identification",
    aliases=("Product_Substitue_Identification",),
    instructions=(
        "Is the product a substitute for what the query asks for: not the very thing, but able to do the same "
        "job? Answer yes or no.",
        "Say yes if a shopper with this query could settle for the product in place of the wanted one, else no.",
        "The query names a want and the product may only partly meet it. Reply yes if it works as a "
        "replacement, otherwise no.",
        "Could this product take the place of the item searched for? Respond with yes or no.",
        "Tell whether the product functions as an alternative to the query's target. Output yes or no.",
        "Suppose the searched item is sold out: would this product be a fair stand-in? yes or no.",
    ),
    answer=YesNo(),
    metric="f1",
    out_of_domain=False,
    pieces=pieces_by(truncation),
    form=Form(COLUMNS, write),
    facts=facts_in,
    texts=texts_under("query", "product"),
    compared=two_values,
    verb="check_substitute",
    sample_rows=(
        {"query": "aa batteries 24 pack", "title": "Rechargeable AA batteries, 8 pieces, with charger"},
        {"query": "red silk scarf", "title": "Ice cube tray, silicone"},
    ),
)
