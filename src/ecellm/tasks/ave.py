"""AVE, attribute value extraction: which values do the asked attributes have in the product's texts?

Source: MAVE. Out-of-domain rows ask for attributes that training never asks for.

    input    {"product title": "SEAPESCA Metal VIB 55mm 11g Fishing Lure", "target attributes": "Length and Color"}
    output   [{"attribute": "length", "value": "55mm", "source": "product title"},
              {"attribute": "color", "value": "None", "source": "None"}]
    metric   F1 over triples
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ecellm.records import Domain, Sample, Split, sample_id
from ecellm.tasks.answers import JOINER, NONE, TARGETS, Triple, Triples
from ecellm.tasks.pieces import Cut, Path, json_pieces, texts_under, whole
from ecellm.tasks.task import ATTRIBUTE, Column, Draw, Form, Given, Piece, Pieces, Plan, Task

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

FIELDS = ("title", "description", "feature", "price", "brand")
#: Where the plan names no attributes to hold out, at most this share of the attribute names is drawn.
MOST_HELD_OUT = 0.2


def draw(store: Store, plan: Plan) -> Draw:
    """Draw products with their attributes; in-domain rows never ask for a held-out attribute.

    In the paper a row's first attribute decides whether it is held out, so that a held-out attribute can turn
    up later in a training row; here any held-out attribute keeps a product out of the in-domain rows, and an
    out-of-domain row asks for its held-out attributes only.
    """
    attributes = store["attributes"]
    attributes = attributes.filter(~attributes.attribute.contains(JOINER))
    keys = _keys(store, plan.seed)
    held_out = list(plan.out_of_domain) or held_out_attributes(store, attributes, keys, plan)
    asked = attributes.mutate(held=attributes.attribute.isin(held_out))
    per_product = asked.group_by(["product_id", "split"]).agg(any_held=asked.held.max())
    rows = store.keep(per_product.inner_join(keys, "product_id"))
    mixed = rows.filter(rows.any_held & (rows.split != "test"))
    found = Draw()
    found.drop("product asks for a held-out attribute", store.count(mixed), mixed)
    chosen = {}
    for split, domain in plan.quotas:
        part = rows.filter((rows.split == split) & (rows.any_held if domain == "OOD" else ~rows.any_held))
        chosen[split, domain] = store.first(part, "key", plan.enough(split, domain))
    drawn = store.given([row for part in chosen.values() for row in part], product_id="string").distinct()
    texts = {row["product_id"]: row for row in store.rows(_texts(store).semi_join(drawn, "product_id"))}
    wanted = _triples(store, asked.semi_join(drawn, "product_id"))
    for (split, domain), part in chosen.items():
        for row in part:
            triples = [triple for triple in wanted[row["product_id"]] if triple["held"] == (domain == "OOD")]
            found.samples.append(_sample(texts[row["product_id"]], triples, split, domain))
    return found


def held_out_attributes(store: Store, attributes: ir.Table, keys: ir.Table, plan: Plan) -> list[str]:
    """Return the attributes to hold out: drawn by key until the quota of out-of-domain test rows is met.

    A product counts once, however many of the attributes it has. At most a fifth of the attribute names is drawn, so
    that a small source keeps something to train on.
    """
    import ibis

    from ecellm.store import keyed

    tested = attributes.filter(attributes.split == "test").inner_join(keys, "product_id")
    key = keyed(plan.seed, "AVE held out", tested.attribute)
    placed = tested.select("attribute", text=tested.key, place=ibis.dense_rank().over(order_by=key))
    first_places = placed.group_by("text").agg(place=placed.place.min())
    gains = first_places.group_by("place").agg(rows=first_places.count())
    names = placed.group_by(["place", "attribute"]).agg()
    known = store.rows(names.left_join(gains, "place").order_by("place"))
    drawn: list[str] = []
    rows = 0
    for name in known[: int(MOST_HELD_OUT * len(known))]:
        if rows >= plan.quotas.get(("test", "OOD"), 0):
            break
        drawn.append(name["attribute"])
        rows += name["rows"] or 0
    return drawn


def _texts(store: Store) -> ir.Table:
    """Return the products that have a text."""
    found = store.catalogue("mave").filter(lambda t: t.fields.length() > 0)
    return found.select("product_id", "category", "fields", *FIELDS)


def _keys(store: Store, seed: int) -> ir.Table:
    """Return the products with the key they are drawn by."""
    from ecellm.store import keyed

    texts = _texts(store)
    return store.keep(texts.select("product_id", key=keyed(seed, "AVE", texts.product_id)))


def _triples(store: Store, attributes: ir.Table) -> dict[str, list[dict[str, Any]]]:
    """Collect the attribute rows by product, in the source's order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in store.rows(attributes.order_by(["product_id", "position", "field", "value"])):
        found.setdefault(row["product_id"], []).append(row)
    return found


def _sample(row: dict[str, Any], attributes: list[dict[str, Any]], split: Split, domain: Domain) -> Sample:
    targets = list(dict.fromkeys(attribute["attribute"] for attribute in attributes))
    text = published({name: row[name] for name in row["fields"]}, targets)
    triples = [_triple(attribute) for attribute in attributes]
    distinct = list({json.dumps(triple): triple for triple in triples}.values())
    return Sample(
        id=sample_id("AVE", domain, text, None),
        task="AVE",
        domain=domain,
        split=split,
        input=text,
        options=None,
        output=json.dumps(distinct),
        category=row["category"],
        # The id without split and kind: one product may stand as a positive and as a negative.
        products=(f"mave|{row['product_id'].split('/')[0]}",),
    )


def _triple(attribute: dict[str, Any]) -> dict[str, str]:
    name = attribute["attribute"].lower()
    if attribute["value"] is None or attribute["field"] is None:
        return {"attribute": name, "value": NONE, "source": NONE}
    return {"attribute": name, "value": attribute["value"].lower(), "source": f"product {attribute['field']}".lower()}


def published(texts: Mapping[str, str], targets: Iterable[str]) -> str:
    """Return the input: the product's texts in the order given, then the attributes asked for."""
    return json.dumps({**{f"product {name}": text for name, text in texts.items()}, TARGETS: JOINER.join(targets)})


def write(given: Given) -> tuple[str, None]:
    """Return what texts there are, and the attributes asked for."""
    targets = list(dict.fromkeys(given["attributes"]))
    torn = [name for name in targets if JOINER in name]
    if torn:
        raise ValueError(f"attributes has {torn[0]!r}: the words around {JOINER.strip()!r} would be read as two.")
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


def pieces(sample: Sample) -> Pieces:
    """Cut the description first, then feature, brand, price and title; the targets never.

    Each text field is marked with its key and each target with "attribute", so that a model can point there.
    """
    ranks = {"product description": 1, "product feature": 2, "product brand": 3, "product price": 4}

    def rule(path: Path, value: str) -> Cut | None:
        return None if path[0] == TARGETS else Cut(rank=ranks.get(str(path[0]), 5), mark=str(path[0]))

    found = json_pieces(sample.input, rule)
    targets = json.loads(sample.input).get(TARGETS, "") if found != whole(sample.input) else ""
    ending = json.dumps(targets)[1:-1] + '"}'
    if not targets or not found[-1].text.endswith(ending):
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
    aliases=(),
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
    needs=("products", "attributes"),
    draw=draw,
    pieces=pieces,
    form=Form(
        (
            *(Column(name, f"the product's {name}", needed=name == "title") for name in FIELDS),
            Column("attributes", "names of the attributes to find", many=True),
        ),
        write,
        read,
    ),
    domains=(ATTRIBUTE,),
    texts=texts_under("product title"),
)
