"""Amazon-Google Products (Leipzig): two software catalogues and their perfect mapping, three Latin-1 CSVs.

https://dbs.uni-leipzig.de/research/projects/benchmark-datasets-for-entity-resolution
"""

import re
from collections.abc import Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.data.convert import TableForm
from ecellm.data.engines.base import Part, Tables, Workbench
from ecellm.data.schema import conform

#: The encoding in which the authors read the files, which are in Latin-1.
UTF8 = "utf-8"
AMAZON, GOOGLE, MAPPING = "Amazon.csv", "GoogleProducts.csv", "Amzon_GoogleProducts_perfectMapping.csv"
PLAIN_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)", re.ASCII)


def parts(folder: Path) -> list[Part]:
    """Return the three files."""
    return [Part(folder / name) for name in (AMAZON, GOOGLE, MAPPING)]


def read(bench: Workbench, folder: Path, encoding: str) -> Tables:
    """Return `products` (catalogues amazon and google) and `matches`; rows without an id are rejected.

    With the encoding utf-8, bytes that are not UTF-8 become U+FFFD. Amazon's prices are given as the text of a float
    ("649" as "649.0"), as the published rows have them.
    """

    def table(name: str, header: Sequence[str], needed: Sequence[str], by: Sequence[str] = ()) -> ir.Table:
        columns = {column: (column, "text") for column in header}
        form = TableForm(columns, needed, encoding, "replace" if encoding == UTF8 else "strict", header)
        return bench.table(Part(folder / name), form, by)

    texts = ["description", "manufacturer", "price"]
    amazon = table(AMAZON, ["id", "title", *texts], ["id"], ["id"])
    google = table(GOOGLE, ["id", "name", *texts], ["id"], ["id"])
    pair = ["idAmazon", "idGoogleBase"]
    mapping = table(MAPPING, pair, pair)
    amazon = _with_float_prices(bench, amazon)
    products = _catalogue(amazon, "amazon").union(_catalogue(google.rename(title="name"), "google"))
    matches = mapping.rename(left_id="idAmazon", right_id="idGoogleBase")
    return {"products": products, "matches": conform(matches, "matches")}


def float_text(price: str) -> str:
    """Return a plain decimal number as Python shows it as a float; any other text as it is."""
    return repr(float(price)) if PLAIN_NUMBER.fullmatch(price) else price


def _with_float_prices(bench: Workbench, rows: ir.Table) -> ir.Table:
    """Return the rows with prices as texts of floats.

    The engines write floats differently (10000000.0 and 1.0E7), so the distinct prices are written by Python.
    """
    prices = rows.filter(rows.price.notnull()).select("price").distinct()
    joined = rows.left_join(bench.mapped(prices, float_text), "price")
    return joined.mutate(price=joined.mapped).select(*rows.columns)


def _catalogue(rows: ir.Table, name: str) -> ir.Table:
    products = rows.select(
        catalogue=ibis.literal(name),
        category=ibis.literal(""),
        product_id=rows.id,
        title=rows.title.nullif(""),
        description=rows.description.nullif(""),
        brand=rows.manufacturer.nullif(""),
        price=rows.price.nullif(""),
    )
    return conform(products, "products")
