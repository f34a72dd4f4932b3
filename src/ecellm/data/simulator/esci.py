"""Queries with judged products as the Shopping Queries data set writes them: Parquet and a CSV of sources."""

from dataclasses import dataclass
from typing import TypedDict

import pyarrow as pa

from ecellm.data.simulator import products
from ecellm.data.simulator.files import Files
from ecellm.data.simulator.products import Product
from ecellm.data.simulator.random_draws import RandomDraws, identifiers
from ecellm.data.simulator.vocabulary import ProductType, departments, words

FOLDER = "shopping_queries_dataset"
#: Of a whole shard.
QUERIES = 450
MOST_RESULTS = 16
LABELS = "ESCI"
#: Cumulative shares of exact, substitute, complement and irrelevant results, by the number of attributes wanted
#: for: the more a query asks, the fewer products are exactly that.
SHARES = {1: (0.54, 0.66, 0.83, 1.0), 2: (0.33, 0.69, 0.85, 1.0), 3: (0.18, 0.72, 0.86, 1.0)}
WANTED = (0.4, 0.75, 1.0)
"""Cumulative shares of queries that ask for one, two and three attributes."""
#: Share of judgements that a judge got wrong.
SLIPS = 0.12
TESTED, SMALL, BRANDED = 0.28, 0.7, 0.22
#: How often a hit has other words for a value, and for the product, than the query.
OTHER_VALUE, OTHER_NAME = 0.05, 0.4
#: How often a miss is a novelty that only names what was searched for, such as a poster of it.
NOVELTY = 0.75
#: Share of titles in which something odd stands for a space.
ODD, GAPS = 0.02, ("<br>", " <br/> ", "  ")
SOURCES = ("other", "other", "other", "behavioral", "negations", "parse_pattern")
ABROAD = (
    ("es", "auriculares inalámbricos", "Auriculares Bluetooth con micrófono"),
    ("jp", "水筒", "水筒 ステンレス 500ml"),
)
ROOM = QUERIES * MOST_RESULTS
EXAMPLES = pa.schema(
    [
        ("example_id", pa.int64()),
        ("query", pa.large_string()),
        ("query_id", pa.int64()),
        ("product_id", pa.large_string()),
        ("product_locale", pa.large_string()),
        ("esci_label", pa.large_string()),
        ("small_version", pa.int64()),
        ("large_version", pa.int64()),
        ("split", pa.large_string()),
    ]
)
PRODUCTS = pa.schema(
    [
        (f"product_{name}", pa.large_string())
        for name in ("id", "title", "description", "bullet_point", "brand", "color", "locale")
    ]
)


@dataclass(frozen=True)
class Want:
    """What a shopper looks for: a product as it should be, and the attributes that count."""

    product: Product
    wanted: list[int]
    """Places of the wanted attributes."""
    phrased: dict[str, str]
    """The words of the query for their values, by attribute name."""
    noun: str
    branded: bool


class ProductRow(TypedDict):
    """A product as a row of the products file, but for its id and locale."""

    product_title: str
    product_description: str | None
    product_bullet_point: str
    product_brand: str | None
    product_color: str | None


def write(files: Files, shard: int, size: float, draw: RandomDraws, odd: RandomDraws) -> int:
    """Append a shard of queries with their judged products; return the number of judgements. `odd` draws the titles
    with line breaks of HTML or two spaces."""
    examples: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    sources: list[str] = []
    ids = identifiers("B0", 10**9 + shard * ROOM, ROOM, 8)
    for number in range(max(1, round(QUERIES * size))):
        query_id = shard * QUERIES + number
        query, results = _results(draw)
        small, split = int(draw.chance(SMALL)), "test" if draw.chance(TESTED) else "train"
        locale = "us"
        if draw.chance(0.01):
            locale, query, title = draw.pick(ABROAD)
            results = [(label, {**row, "product_title": title}) for label, row in results[:2]]
        for label, row in results:
            product_id = ids[len(found)]
            if odd.chance(ODD):
                row = {**row, "product_title": row["product_title"].replace(" ", odd.pick(GAPS), 1)}
            found.append({**row, "product_id": product_id, "product_locale": locale})
            examples.append(
                {
                    "example_id": shard * ROOM + len(examples),
                    "query": query,
                    "query_id": query_id,
                    "product_id": product_id,
                    "product_locale": locale,
                    "esci_label": label,
                    "small_version": small,
                    "large_version": 1,
                    "split": split,
                }
            )
        sources.append(f"{query_id},{draw.pick(SOURCES)}")
    base = f"{FOLDER}/shopping_queries_dataset"
    files.parquet(f"{base}_examples.parquet", pa.Table.from_pylist(examples, EXAMPLES))
    files.parquet(f"{base}_products.parquet", pa.Table.from_pylist(found, PRODUCTS))
    files.lines(f"{base}_sources.csv", [*(["query_id,source"] if shard == 0 else []), *sources])
    return len(examples)


def _results(draw: RandomDraws) -> tuple[str, list[tuple[str, ProductRow]]]:
    """Return a query and its results with their labels."""
    department = draw.pick(departments())
    product = products.make(department, draw, draw.below(len(department.types)))
    wanted = draw.some(range(len(product.values)), draw.by_weight((1, 2, 3), WANTED))
    kinds = product.type.attributes
    phrased = {kinds[place].name: products.surface(kinds[place], product.values[place], draw) for place in wanted}
    want = Want(product, wanted, phrased, products.noun(product.type, draw), draw.chance(BRANDED))
    results = []
    for _ in range(5 + draw.below(MOST_RESULTS - 4)):
        label = draw.by_weight(LABELS, SHARES[len(wanted)])
        row = _row(_result(want, label, draw), want, label, draw)
        judged = draw.pick(LABELS) if draw.chance(SLIPS) else label
        results.append((judged, row))
    return _query(want, draw), results


def _query(want: Want, draw: RandomDraws) -> str:
    """Return the words a shopper types: attributes, type, maybe the brand."""
    values = [value.lower() for value in want.phrased.values()]
    name = want.noun.lower()
    brand = [want.product.maker.name.lower()] if want.branded else []
    layout = draw.below(4)
    if layout == 0:
        return " ".join([*brand, *values, name])
    if layout == 1:
        return " ".join([name, *values, *brand])
    if layout == 2:
        return " ".join([*values[:1], name, *values[1:], *brand])
    return " ".join([*brand, name, *values])


def _result(want: Want, label: str, draw: RandomDraws) -> Product:
    """Return a product that stands to the wanted one as the label says."""
    wanted = want.product
    department = wanted.department
    if label in "ES":
        brand = wanted.brand if want.branded else None
        other_brand = label == "S" and want.branded and draw.chance(0.35)
        made = products.make(department, draw, wanted.kind, None if other_brand else brand)
        for place in want.wanted:
            made.values[place] = wanted.values[place]
        if label == "S" and (not other_brand or made.brand == wanted.brand):
            for place in draw.some(want.wanted, 1 + draw.chance(0.5)):
                count = len(wanted.type.attributes[place].values)
                made.values[place] = (wanted.values[place] + 1 + draw.below(count - 1)) % count
        return made
    if label == "C":
        kind = draw.early(wanted.type.goes_with)
        return _alike(products.make(department, draw, kind, wanted.brand if draw.chance(0.6) else None), want)
    if draw.chance(0.25):
        other = draw.pick([each for each in departments() if each is not department])
        return _alike(products.make(other, draw, draw.below(len(other.types))), want)
    # A search engine's misses share words with the query: another family, but with a wanted attribute.
    families = [place for place, kind in enumerate(department.types) if kind.family != wanted.type.family]
    sharing = [place for place in families if _shared(want, department.types[place])]
    return _alike(products.make(department, draw, draw.pick(sharing or families), wanted.brand), want)


def _shared(want: Want, kind: ProductType) -> list[int]:
    """Return the places, in another type, of the wanted attributes."""
    wanted = [want.product.type.attributes[place] for place in want.wanted]
    return [place for place, attribute in enumerate(kind.attributes) if attribute in wanted]


def _novelty(want: Want, draw: RandomDraws) -> str:
    """Return the title of a thing that bears the searched product's words and is something else."""
    things = words("language")["novelties"]
    values = [*want.phrased.values(), want.noun, draw.pick(things)]
    return " ".join(
        [products.shown(value) for value in values] + [f"by {draw.pick(want.product.department.brands).name}"]
    )


def _reworded(surfaces: tuple[str, ...], used: str, share: float, draw: RandomDraws) -> str:
    """Return the words used or, in a share of draws, others that mean the same."""
    return draw.pick([text for text in surfaces if text != used]) if draw.chance(share) else used


def _alike(product: Product, want: Want) -> Product:
    """Give a product of another type the wanted values, where it has such attributes: shared words mislead."""
    for place in want.wanted:
        attribute = want.product.type.attributes[place]
        if attribute in product.type.attributes:
            product.values[product.type.attributes.index(attribute)] = want.product.values[place]
    return product


def _row(product: Product, want: Want, label: str, draw: RandomDraws) -> ProductRow:
    must = want.wanted if label in "ES" else _shared(want, product.type)
    # Misses are found because they share the query's words, hits often by meaning, in words of their own.
    phrased, called = want.phrased, None
    if label in "ES":
        kinds = [product.type.attributes[place] for place in must]
        same = [want.product.values[place] == product.values[place] for place in must]
        phrased = {
            kind.name: _reworded(kind.values[product.values[place]], want.phrased[kind.name], OTHER_VALUE, draw)
            for kind, place, kept in zip(kinds, must, same, strict=True)
            if kept
        }
        called = _reworded(product.type.names, want.noun, OTHER_NAME, draw)
    text = products.title(product, draw, must, 1.0 if want.branded else 0.95, phrased, called).text
    if label == "I" and draw.chance(NOVELTY):
        text = _novelty(want, draw)
    elif label == "C" and draw.chance(0.85):
        text += f" for {products.shown(want.noun)}"
    elif draw.chance(0.4):
        partner = product.department.types[draw.pick(product.type.goes_with)]
        text += f" for {products.shown(products.noun(partner, draw))}"
    shown = draw.some(range(len(product.values)), 4)
    colors = [
        products.surface(kind, value, draw)
        for kind, value in zip(product.type.attributes, product.values, strict=True)
        if kind.name == "Color"
    ]
    return {
        "product_title": text.replace("by", "<b>by</b>") if draw.chance(0.01) else text,
        "product_description": None
        if draw.chance(0.4)
        else f"<p>{products.description(product, draw, shown[:2]).text}</p>",
        "product_bullet_point": "\n".join(products.feature(product, draw, spot).text for spot in shown[2:]),
        "product_brand": None if draw.chance(0.05) else product.maker.name,
        "product_color": products.shown(colors[0]) if colors else None,
    }
