"""Amazon-Google Products (Leipzig): two software catalogues and their perfect mapping, three Latin-1 CSVs.

https://dbs.uni-leipzig.de/research/projects/benchmark-datasets-for-entity-resolution
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.sources.workbench import Part, Workbench, no_texts
from ecellm.store import conform

ENCODING = "latin-1"
AMAZON, GOOGLE, MAPPING = "Amazon.csv", "GoogleProducts.csv", "Amzon_GoogleProducts_perfectMapping.csv"


def parts(folder: Path) -> list[Part]:
    """Return the three files."""
    return [Part(folder / name) for name in (AMAZON, GOOGLE, MAPPING)]


def read(bench: Workbench, folder: Path) -> dict[str, ir.Table]:
    """Return `products` (catalogues amazon and google) and `matches`; rows without an id are set aside."""
    no_id = {"id is missing": lambda row: row.id.isnull() | (row.id == "")}
    amazon = bench.csv_table(
        folder / AMAZON, ["id", "title", "description", "manufacturer", "price"], ENCODING, no_id, ["id"]
    )
    google = bench.csv_table(
        folder / GOOGLE, ["id", "name", "description", "manufacturer", "price"], ENCODING, no_id, ["id"]
    )
    mapping = bench.csv_table(
        folder / MAPPING,
        ["idAmazon", "idGoogleBase"],
        ENCODING,
        {"id is missing": lambda row: row.idAmazon.isnull() | row.idGoogleBase.isnull()},
    )
    products = _catalogue(amazon, "amazon").union(_catalogue(google.rename(title="name"), "google"))
    matches = mapping.rename(left_id="idAmazon", right_id="idGoogleBase")
    return {"products": products, "matches": conform(matches, "matches")}


def _catalogue(rows: ir.Table, name: str) -> ir.Table:
    products = rows.select(
        catalogue=ibis.literal(name),
        category=ibis.literal(""),
        product_id=rows.id,
        title=rows.title.nullif(""),
        description=rows.description.nullif(""),
        feature=ibis.null("string"),
        brand=rows.manufacturer.nullif(""),
        price=rows.price.nullif(""),
        categories=no_texts(),
        fields=no_texts(),
    )
    return conform(products, "products")
