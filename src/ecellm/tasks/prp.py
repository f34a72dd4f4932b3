"""PRP, product relation prediction: are two products bought together, viewed together, or alike?

Source: Amazon Review 2018 metadata (also_buy, also_view, similar_item), pairs within one category.

    input    {"Product 1:": "Tripod for DSLR", "Product 2:": "DSLR Camera 24 MP"}
    options  ["A: Shoppers who buy the first also buy the second", "B: ...", "C: ..."]
    output   A
    metric   macro F1
"""

import json

from ecellm.errors import DataError
from ecellm.tasks.answers import Letter
from ecellm.tasks.input_parsing import Path, Truncation, pieces_by, texts_under
from ecellm.tasks.task import Column, Form, Given, Task
from ecellm.tasks.text_pairs import two_values

LETTERS = {"also_buy": "A", "also_view": "B", "similar": "C"}
OPTIONS = [
    "A: Shoppers who buy the first product also buy the second",
    "B: Shoppers who look at the first product also look at the second",
    "C: The first product is similar to the second",
]


def write(given: Given) -> tuple[str, str]:
    """Return the two titles, sorted as the drawn pairs are, and the options."""
    first, second = sorted(given[name] for name in ("title_1", "title_2"))
    if first == second:
        raise DataError("title_1 and title_2 are the same.")
    return json.dumps({"Product 1:": first, "Product 2:": second}), json.dumps(OPTIONS)


def read(answer: str, given: Given) -> str:
    """Return the relation as the Store names it."""
    return {letter: relation for relation, letter in LETTERS.items()}[answer]


def truncation(path: Path, value: str) -> Truncation | None:
    """Shorten the two titles evenly, then the options."""
    return Truncation(rank=1)


TASK = Task(
    name="PRP",
    title="Product_Relation_Prediction",
    aliases=("Product_Relation_Predicition",),
    instructions=(
        "How are the two products related? Answer with the letter of the right option.",
        "Look at both titles, work out how shoppers connect the two products, and give the option's letter.",
        "Choose the option that describes the relation of product 1 and product 2. Reply with its letter only.",
        "Are these products bought together, viewed together, or alike? Output the letter that applies.",
        "Pick the letter of the statement that holds for this pair of products.",
        "Name, by its letter alone, the link between the two products that a shop would see in its data.",
    ),
    answer=Letter("ABCDE"),
    metric="macro_f1",
    out_of_domain=True,
    pieces=pieces_by(truncation),
    form=Form((Column("title_1", "title of a product"), Column("title_2", "title of another")), write, read),
    texts=texts_under("Product 1:", "Product 2:"),
    compared=two_values,
    relates_products=True,
    verb="relate",
    sample_rows=(
        {"title_1": "Tripod with ball head, 150 cm", "title_2": "Mirrorless camera, 24 megapixels"},
        {"title_1": "Cotton bath towel, grey", "title_2": "Cotton bath towel, navy"},
    ),
)
