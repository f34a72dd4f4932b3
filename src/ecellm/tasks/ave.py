"""AVE, attribute value extraction: which values do the target attributes have in the product's texts?

Source: MAVE. Out-of-domain rows ask for attributes that training never asks for.

    input    {"product title": "SEAPESCA Metal VIB 55mm 11g Fishing Lure", "target attributes": "Length and Color"}
    output   [{"attribute": "length", "value": "55mm", "source": "product title"},
              {"attribute": "color", "value": "None", "source": "None"}]
    metric   F1 over triples
"""

import json
from collections.abc import Iterable, Mapping

from ecellm.errors import DataError
from ecellm.tasks.answers import JOINER, NONE, TARGETS, Triple, Triples
from ecellm.tasks.input_parsing import Path, Truncation, json_pieces, texts_under, whole
from ecellm.tasks.task import Column, Form, Given, Piece, Pieces, Quote, Task
from ecellm.types import Example

FIELDS = ("title", "description", "feature", "price", "brand")


def published(texts: Mapping[str, str], targets: Iterable[str]) -> str:
    """Return the input: the product's texts in the order given, then the target attributes."""
    return json.dumps({**{f"product {name}": text for name, text in texts.items()}, TARGETS: JOINER.join(targets)})


def write(given: Given) -> tuple[str, None]:
    """Return what texts there are, and the target attributes."""
    targets = list(dict.fromkeys(given["attributes"]))
    torn = [name for name in targets if JOINER in name]
    if torn:
        raise DataError(f"attributes has {torn[0]!r}: the words around {JOINER.strip()!r} would be read as two.")
    return published({name: given[name] for name in FIELDS if given[name]}, targets), None


def read(answer: list[Triple], given: Given) -> list[dict[str, str | None]]:
    """Return the triples with the attributes and fields as they were given; no value and no source are None."""
    names = {name.lower(): name for name in given["attributes"]}
    return [
        {
            "attribute": names.get(triple["attribute"], triple["attribute"]),
            "value": None if triple["value"] == NONE else triple["value"],
            "source": None if triple["source"] == NONE else triple["source"].removeprefix("product "),
        }
        for triple in answer
    ]


def quotes(answer: list[dict[str, str | None]]) -> list[Quote]:
    """Return the values with the fields that they stand in."""
    return [
        Quote(found["source"], found["value"], found["attribute"] or "")
        for found in answer
        if found["source"] and found["value"]
    ]


def pieces(example: Example) -> Pieces:
    """Truncate the description first, then feature, brand, price and title; the targets never.

    Each text field is marked with its key and each target with "attribute", so that a model can point there.
    """
    ranks = {"product description": 1, "product feature": 2, "product brand": 3, "product price": 4}

    def rule(path: Path, value: str) -> Truncation | None:
        return None if path[0] == TARGETS else Truncation(rank=ranks.get(str(path[0]), 5), mark=str(path[0]))

    found = json_pieces(example.input, rule)
    read = json.loads(example.input) if found != whole(example.input) else None
    targets = read.get(TARGETS) if isinstance(read, dict) else None
    ending = json.dumps(targets)[1:-1] + '"}'
    if not targets or not isinstance(targets, str) or not found[-1].text.endswith(ending):
        return Pieces(found)
    before = Piece(found[-1].text.removesuffix(ending))
    names = [json.dumps(name)[1:-1] for name in targets.split(JOINER)]
    marked: list[Piece] = []
    for name in names:
        marked += [Piece(name, mark="attribute"), Piece(JOINER)]
    return Pieces((*found[:-1], before, *marked[:-1], Piece('"}')))


TASK = Task(
    name="AVE",
    title="Attribute_Value_Extraction",
    instructions=(
        "Find the value of each target attribute in the product's texts. Give a JSON list of objects with the "
        "keys attribute, value and source; write None for value and source where the texts do not say.",
        "Read the product's texts and list, as JSON, every target attribute with its value and the field it "
        "stands in (keys attribute, value, source); use None where there is no value.",
        "For the target attributes, copy the values out of the product texts. The answer is a JSON list of "
        "attribute, value, source objects, with None for what is absent.",
        "Extract what the product texts say about the target attributes. Output a JSON list whose items have "
        "attribute, value and source, None if not stated.",
        "Look up each target attribute in the product's fields and report attribute, value and source field as "
        "JSON objects in a list; absent values are None.",
        "Which values do the texts give for the target attributes? Return JSON: a list of objects holding "
        "attribute, value, source, and None where nothing is given.",
    ),
    answer=Triples(),
    metric="f1",
    out_of_domain=True,
    pieces=pieces,
    form=Form(
        (
            *(Column(name, f"the product's {name}", needed=name == "title") for name in FIELDS),
            Column("attributes", "names of the attributes to find", many=True),
        ),
        write,
        read,
        quotes,
    ),
    texts=texts_under("product title"),
    verb="extract",
    sample_rows=(
        {"title": "Harbour Trout Rod 210 cm, carbon, green", "attributes": ["Length", "Material", "Weight"]},
        {"title": "Enamel mug", "description": "White mug with a blue rim, holds 350 ml", "attributes": ["Capacity"]},
    ),
)
