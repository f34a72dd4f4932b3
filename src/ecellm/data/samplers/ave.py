"""Drawing AVE: products of MAVE with attributes to extract, some held out of training."""

import json

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import ATTRIBUTE, Draw, Plan, Sampler
from ecellm.data.schema import Row, Store, keyed
from ecellm.tasks.answers import JOINER, NONE
from ecellm.tasks.ave import FIELDS, published
from ecellm.types import Domain, Example, Split, new_example

NO_PRODUCT = "attributes of a product that is not there or has no text"
JOINED = f"attribute's name holds {JOINER.strip()!r}, which joins names"
#: Where the plan names no attributes to hold out, at most this share of the attribute names is drawn.
MOST_HELD_OUT = 0.2


def draw(store: Store, plan: Plan) -> Draw:
    """Draw products with their attributes; in-domain rows never ask for a held-out attribute.

    In the paper a row's first attribute decides whether it is held out, so that a held-out attribute can turn
    up later in a training row; here any held-out attribute keeps a product out of the in-domain rows, and an
    out-of-domain row asks for its held-out attributes only.
    """
    named = store["attributes"]
    attributes = named.filter(~named.attribute.contains(JOINER))
    keys = _keys(store, plan.seed)
    held_out = list(plan.out_of_domain) or held_out_attributes(store, attributes, keys, plan)
    marked = attributes.mutate(held=attributes.attribute.isin(held_out))
    per_product = marked.group_by(["product_id", "split"]).agg(any_held=marked.held.max())
    rows = store.keep(per_product.inner_join(keys, "product_id"))
    mixed = rows.filter(rows.any_held & (rows.split != "test"))
    found = Draw()
    found.drop("product asks for a held-out attribute", store.count(mixed), mixed)
    found.drop(NO_PRODUCT, store.count(per_product) - store.count(rows), per_product.anti_join(keys, "product_id"))
    joined = named.filter(named.attribute.contains(JOINER))
    found.drop(JOINED, store.count(joined), joined)
    chosen = {}
    for split, domain in plan.quotas:
        part = rows.filter((rows.split == split) & (rows.any_held if domain == "OOD" else ~rows.any_held))
        chosen[split, domain] = store.first(part, "key", plan.enough(split, domain))
    drawn = store.given([row for part in chosen.values() for row in part], product_id="string").distinct()
    texts = {row["product_id"]: row for row in store.rows(_texts(store).semi_join(drawn, "product_id"))}
    wanted = _triples(store, marked.semi_join(drawn, "product_id"))
    for (split, domain), part in chosen.items():
        for row in part:
            triples = [triple for triple in wanted[row["product_id"]] if triple["held"] == (domain == "OOD")]
            found.examples.append(_sample(texts[row["product_id"]], triples, split, domain))
    return found


def held_out_attributes(store: Store, attributes: ir.Table, keys: ir.Table, plan: Plan) -> list[str]:
    """Return the attributes to hold out: drawn by key until the quota of out-of-domain test rows is met.

    A product counts once, however many of the attributes it has. At most a fifth of the attribute names is drawn, so
    that a small source keeps something to train on.
    """
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
    texts = _texts(store)
    return store.keep(texts.select("product_id", key=keyed(seed, "AVE", texts.product_id)))


def _triples(store: Store, attributes: ir.Table) -> dict[str, list[Row]]:
    """Collect the attribute rows by product, in the source's order."""
    found: dict[str, list[Row]] = {}
    for row in store.rows(attributes.order_by(["product_id", "position", "field", "value"])):
        found.setdefault(row["product_id"], []).append(row)
    return found


def _sample(row: Row, attributes: list[Row], split: Split, domain: Domain) -> Example:
    targets = list(dict.fromkeys(attribute["attribute"] for attribute in attributes))
    text = published({name: row[name] for name in row["fields"]}, targets)
    triples = [_triple(attribute) for attribute in attributes]
    distinct = list({json.dumps(triple): triple for triple in triples}.values())
    # The id without split and kind: one product may stand as a positive and as a negative.
    products = (f"mave|{row['product_id'].split('/')[0]}",)
    output = json.dumps(distinct)
    return new_example("AVE", domain, split, text, None, output, category=row["category"], products=products)


def _triple(attribute: Row) -> dict[str, str]:
    name = attribute["attribute"].lower()
    if attribute["value"] is None or attribute["field"] is None:
        return {"attribute": name, "value": NONE, "source": NONE}
    return {"attribute": name, "value": attribute["value"].lower(), "source": f"product {attribute['field']}".lower()}


SAMPLER = Sampler(
    draw,
    needs=("products", "attributes"),
    columns=(("attributes", "value"), ("attributes", "field")),
    domains=(ATTRIBUTE,),
)
