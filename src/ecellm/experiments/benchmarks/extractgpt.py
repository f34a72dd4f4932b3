"""ExtractGPT's JSON lines: a product's title, its category, and the accepted values of its attributes.

    {"input": "SEAPESCA Minnow 150mm 9g YA54", "category": "Lure",
     "target_scores": {"Brand Name": {"SEAPESCA": 1}, "Length": {"150mm": 1}, "Weight": {"n/a": 1}}}

train.jsonl and test.jsonl, as in github.com/wbsg-uni-mannheim/ExtractGPT, folder data/processed_datasets.

Each question names all attributes of its product's category, in examples of at most `MOST_ATTRIBUTES`. There are no
validation files: a tenth of the training products is held out, by a keyed hash of the title.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ecellm.errors import DataError, EcellmError
from ecellm.experiments.benchmarks.formats import Converted, Format, inputs
from ecellm.io.hashing import keyed_number
from ecellm.tasks.answers import JOINER, NONE
from ecellm.tasks.ave import TASK, published
from ecellm.types import Example, Split, new_example

FILES = ("train.jsonl", "test.jsonl")
ABSENT = "n/a"
SOURCE = "title"
#: Attributes in one example: with a title and an instruction they fit a prompt of 256 tokens.
MOST_ATTRIBUTES = 20
HELD_OUT = 0.1


@dataclass(frozen=True)
class LabelledProduct:
    """One product of the files."""

    key: str
    """Which file and line: train/1."""
    split: Split
    title: str
    category: str
    values: dict[str, tuple[str, ...]]
    """The accepted values of each attribute that was annotated, in the file's order; `n/a` first where the title has
    none."""


def products(folder: Path) -> list[LabelledProduct]:
    """Return the products of both files; raises DataError, naming file and line, for a line of another form."""
    return [product for name in FILES for product in _products(folder / name)]


def attributes(known: Iterable[LabelledProduct]) -> dict[str, list[str]]:
    """Return the attributes of each category, in the order in which products show them.

    ExtractGPT takes those of the test products; training products have these and a few more.
    """
    found: dict[str, dict[str, None]] = {}
    for product in known:
        found.setdefault(product.category, {}).update(dict.fromkeys(product.values))
    return {category: list(names) for category, names in found.items()}


def read(folder: Path, benchmark: str) -> Converted:
    """Return the products' examples."""
    known = products(folder)
    wanted = attributes(known)
    made = [example for product in known for example in _examples(product, wanted[product.category], benchmark)]
    return Converted(made, inputs(folder, FILES))


def product_key(benchmark: str, product: LabelledProduct) -> str:
    """Return the key by which a product's examples name it."""
    return f"{benchmark}|{product.key}"


def _products(path: Path) -> Iterator[LabelledProduct]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield _product(line, path.stem, number)
            except (EcellmError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                problem = f"{path}, line {number}: it is no object with input, category and target_scores ({error})."
                raise DataError(problem) from error


def _product(line: str, file: str, number: int) -> LabelledProduct:
    row = json.loads(line)
    title, category = row["input"], row["category"]
    if not (isinstance(title, str) and title.strip() and isinstance(category, str)):
        raise DataError("input or category is no text")
    values = {name: tuple(accepted) for name, accepted in row["target_scores"].items()}
    joined = [name for name in values if JOINER in name]
    if joined:
        raise DataError(f"the attribute {joined[0]!r} would be read as two")
    if not all(values.values()):
        raise DataError("an attribute has no value")
    held_out = keyed_number("benchmark validation", title) < HELD_OUT
    training: Split = "validation" if held_out else "train"
    return LabelledProduct(f"{file}/{number}", "test" if file == "test" else training, title, category, values)


def _examples(product: LabelledProduct, wanted: list[str], benchmark: str) -> Iterator[Example]:
    for some in chunks(wanted):
        text = published({SOURCE: product.title}, some)
        triples = [triple for name in some for triple in _triples(name, product.values.get(name, (ABSENT,)))]
        output, products = json.dumps(triples), (product_key(benchmark, product),)
        yield new_example(TASK.name, "IND", product.split, text, None, output, product.category, products=products)


def chunks(names: list[str]) -> list[list[str]]:
    """Return the attributes in as few runs as hold at most `MOST_ATTRIBUTES` each, of about equal length."""
    runs = -(-len(names) // MOST_ATTRIBUTES)
    borders = [round(place * len(names) / runs) for place in range(runs + 1)] if runs else [0]
    return [names[first:after] for first, after in pairwise(borders)]


def _triples(attribute: str, accepted: tuple[str, ...]) -> list[dict[str, str]]:
    """Return an attribute's triples in the published form: every accepted value, or none where `n/a` comes first."""
    name, values = attribute.lower(), [value for value in accepted if value != ABSENT]
    if accepted[0] == ABSENT:
        return [{"attribute": name, "value": NONE, "source": NONE}]
    return [{"attribute": name, "value": value.strip().lower(), "source": f"product {SOURCE}"} for value in values]


FORMAT = Format("ExtractGPT's JSON lines", FILES, read)
