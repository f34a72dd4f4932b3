"""Amazon-Google Products (Leipzig): two software catalogues and their perfect mapping, three Latin-1 CSVs."""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.sources.raw import Workbench, no_texts
from ecellm.store import conform

ENCODING = "latin-1"


def read(bench: Workbench, folder: Path) -> tuple[ir.Table, ir.Table]:
    """Return `products` (catalogues amazon and google) and `matches`."""
    amazon = bench.csv_table(folder / "Amazon.csv", ["id", "title", "description", "manufacturer", "price"], ENCODING)
    google = bench.csv_table(
        folder / "GoogleProducts.csv", ["id", "name", "description", "manufacturer", "price"], ENCODING
    )
    mapping = bench.csv_table(
        folder / "Amzon_GoogleProducts_perfectMapping.csv", ["idAmazon", "idGoogleBase"], ENCODING
    )
    products = _catalogue(amazon, "amazon").union(_catalogue(google.rename(title="name"), "google"))
    matches = mapping.rename(left_id="idAmazon", right_id="idGoogleBase")
    return products, conform(matches, "matches")


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
