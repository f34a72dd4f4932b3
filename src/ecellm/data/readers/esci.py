"""Shopping Queries (ESCI): queries with judged products, two Parquet files; the US locale is read.

https://github.com/amazon-science/esci-data
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.data.engines.base import Part, Workbench
from ecellm.data.schema import conform

EXAMPLES_FILE = "shopping_queries_dataset_examples.parquet"
PRODUCTS_FILE = "shopping_queries_dataset_products.parquet"
US = "product_locale = 'us'"
LABELS = ("E", "S", "C", "I")
SPLITS = ("train", "test")
EXAMPLES = {
    "query": "VARCHAR",
    "product_id": "VARCHAR",
    "product_locale": "VARCHAR",
    "esci_label": "VARCHAR",
    "small_version": "BIGINT",
    "split": "VARCHAR",
}
PRODUCTS = {
    "product_id": "VARCHAR",
    "product_title": "VARCHAR",
    "product_description": "VARCHAR",
    "product_bullet_point": "VARCHAR",
    "product_brand": "VARCHAR",
    "product_locale": "VARCHAR",
}


def parts(folder: Path) -> list[Part]:
    """Return the two files."""
    return [Part(folder / name) for name in (EXAMPLES_FILE, PRODUCTS_FILE)]


def read(bench: Workbench, folder: Path) -> dict[str, ir.Table]:
    """Return `products` (catalogue esci) and `judgements`, of the US locale; judgements without query, product,
    known label or known split are rejected, and so are products without id."""
    rows = bench.parquet(
        folder / EXAMPLES_FILE,
        EXAMPLES,
        {
            "query is missing": lambda row: row["query"].isnull() | (row["query"].strip() == ""),
            "product is missing": lambda row: row.product_id.isnull(),
            "label is not E, S, C or I": lambda row: row.esci_label.isnull() | row.esci_label.notin(LABELS),
            "split is not train or test": lambda row: row.split.isnull() | row.split.notin(SPLITS),
            "small_version is missing": lambda row: row.small_version.isnull(),
        },
        where=US,
    )
    judgements = rows.select(
        query=rows["query"],
        product_id=rows.product_id,
        label=rows.esci_label,
        small=rows.small_version == 1,
        split=rows.split,
    )
    return {"products": _products(bench, folder), "judgements": conform(judgements, "judgements")}


def _products(bench: Workbench, folder: Path) -> ir.Table:
    rows = bench.parquet(
        folder / PRODUCTS_FILE,
        PRODUCTS,
        {"product is missing": lambda row: row.product_id.isnull()},
        by=["product_id"],
        where=US,
    )
    products = rows.select(
        catalogue=ibis.literal("esci"),
        category=ibis.literal(""),
        product_id=rows.product_id,
        title=rows.product_title.nullif(""),
        description=rows.product_description.nullif(""),
        feature=rows.product_bullet_point.nullif(""),
        brand=rows.product_brand.nullif(""),
    )
    return conform(products, "products")
