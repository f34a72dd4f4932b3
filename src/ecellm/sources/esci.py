"""Shopping Queries (ESCI): queries with judged products, two Parquet files; the US locale is read.

https://github.com/amazon-science/esci-data
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.sources.raw import Workbench, no_texts
from ecellm.store import conform, keyed

LOCALE = "us"
LABELS = ("E", "S", "C", "I")


def read(bench: Workbench, folder: Path) -> tuple[ir.Table, ir.Table]:
    """Return `products` (catalogue esci) and `judgements`; rows without query or known label are set aside."""
    examples = bench.parquet(
        folder / "shopping_queries_dataset_examples.parquet",
        ["query", "product_id", "product_locale", "esci_label", "small_version", "split"],
    )
    rows = bench.parquet(
        folder / "shopping_queries_dataset_products.parquet",
        [
            "product_id",
            "product_locale",
            "product_title",
            "product_description",
            "product_bullet_point",
            "product_brand",
        ],
    )
    examples = examples.filter(examples.product_locale == LOCALE)
    good = (examples.esci_label.isin(LABELS) & examples["query"].notnull() & examples.product_id.notnull()).fill_null(
        False
    )
    bench.reject(
        examples.filter(~good),
        "shopping queries",
        "no query, product or known label",
        examples["query"].fill_null(""),
    )
    kept = examples.filter(good)
    judgements = kept.select(
        query=kept["query"],
        product_id=kept.product_id,
        label=kept.esci_label,
        small=kept.small_version == 1,
        split=kept.split,
    )
    return _products(bench, rows.filter(rows.product_locale == LOCALE)), conform(judgements, "judgements")


def _products(bench: Workbench, rows: ir.Table) -> ir.Table:
    content = [rows.product_title, rows.product_description, rows.product_bullet_point, rows.product_brand]
    place = ibis.row_number().over(group_by=rows.product_id, order_by=keyed("esci", *content))
    ranked = rows.mutate(place=place)
    once = ranked.filter(ranked.place == 0)
    products = once.select(
        catalogue=ibis.literal("esci"),
        category=ibis.literal(""),
        product_id=once.product_id,
        title=once.product_title.nullif(""),
        description=once.product_description.nullif(""),
        feature=once.product_bullet_point.nullif(""),
        brand=once.product_brand.nullif(""),
        price=ibis.null("string"),
        categories=no_texts(),
        fields=no_texts(),
    )
    return bench.keep(conform(products, "products"))
