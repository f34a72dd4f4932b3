"""A shelf's products as MAVE writes them: paragraphs, attributes, and where their values stand."""

from typing import TypedDict

from ecellm.data.simulator import products
from ecellm.data.simulator.department import Stock
from ecellm.data.simulator.files import Files
from ecellm.data.simulator.products import Product, Text
from ecellm.data.simulator.random_draws import RandomDraws
from ecellm.data.simulator.vocabulary import departments

FOLDER = "mave/datasets/splits/PRODUCT"
SPLITS, SHARES = ("train", "val", "test"), (0.74, 0.86, 1.0)
#: Share of a shelf's products that stand in MAVE, and of those that stand among the negatives too.
STANDS, NEGATIVE = 0.9, 0.16
MOST_ASKED = 3


class Evidence(TypedDict):
    """Where a value stands: the paragraph's number, and characters."""

    value: str
    pid: int
    begin: int
    end: int


class MarkedAttribute(TypedDict):
    """An attribute with all places of its values; none where the texts do not state it."""

    key: str
    evidences: list[Evidence]


def write(files: Files, shelf: Stock, draw: RandomDraws, first: bool) -> int:
    """Append a shelf's products to the positives and negatives; return how many were written."""
    rows: dict[tuple[str, str], list[dict[str, object]]] = {
        (split, kind): [] for split in SPLITS for kind in ("positives", "negatives")
    }
    for place in range(len(shelf.ids)):
        if not draw.chance(STANDS):
            continue
        split = draw.by_weight(SPLITS, SHARES)
        product = shelf.products[place]
        texts = paragraphs(product, draw)
        shared = {
            "id": shelf.ids[place],
            "category": products.shown(product.type.names[0]),
            "paragraphs": [{"text": text.text, "source": source} for source, text in texts],
        }
        rows[split, "positives"].append({**shared, "attributes": _present([text for _, text in texts], draw)})
        if draw.chance(NEGATIVE):
            rows[split, "negatives"].append({**shared, "attributes": _absent(product, texts, draw)})
    for (split, kind), found in rows.items():
        files.objects(f"{FOLDER}/{split}/00_All/mave_{kind}.jsonl", found)
    if first:
        files.lines(f"{FOLDER}/train/00_All/mave_positives.jsonl", ['{"id": "B0", "category": "Hea'])
    return sum(map(len, rows.values()))


def paragraphs(product: Product, draw: RandomDraws) -> list[tuple[str, Text]]:
    """Return a product's paragraphs by source, in the page's order."""
    shown = draw.some(range(len(product.values)), 3)
    found = [("title", products.title(product, draw))]
    if draw.chance(0.75):
        found.append(("description", products.description(product, draw, shown[:2])))
    found += [("feature", products.feature(product, draw, spot)) for spot in shown[draw.below(3) :]]
    for source, value, share in (("price", f"${product.price:.2f}", 0.6), ("brand", product.maker.name, 0.85)):
        if draw.chance(share):
            text = Text()
            text.add(value)
            found.append((source, text))
    return found


def _present(texts: list[Text], draw: RandomDraws) -> list[MarkedAttribute]:
    """Return one to three of the attributes that the texts state, each with all of its places."""
    evidences: dict[str, list[Evidence]] = {}
    for pid, text in enumerate(texts):
        for attribute, begin, end in text.spans:
            evidence = Evidence(value=text.text[begin:end], pid=pid, begin=begin, end=end)
            evidences.setdefault(attribute, []).append(evidence)
    requested = draw.some(list(evidences), 1 + draw.below(MOST_ASKED))
    return [{"key": attribute, "evidences": evidences[attribute]} for attribute in requested]


def _absent(product: Product, texts: list[tuple[str, Text]], draw: RandomDraws) -> list[MarkedAttribute]:
    """Return one or two attributes that the texts do not state: the type's own first, then any other."""
    stated = {attribute for _, text in texts for attribute, _, _ in text.spans}
    own = [attribute.name for attribute in product.type.attributes if attribute.name not in stated]
    every = {attribute.name: None for each in departments() for kind in each.types for attribute in kind.attributes}
    others = [name for name in every if name not in stated and name not in own]
    pool = own if own and draw.chance(0.6) else others
    return [{"key": name, "evidences": []} for name in draw.some(pool, 1 + draw.below(2))]
