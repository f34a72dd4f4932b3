"""Amazon Review 2018 (and 2014's metadata): reviews, products, relations, purchases.

Files, per category: review/all_category/C.json.gz, meta/all_category/meta_C.json.gz (JSON lines) and
rating/all_category/C.csv (item,user,rating,time; no header). The 2014 metadata, meta_C.json.gz, has Python
dict literals for lines; they are read as literals, nothing is executed.
"""

import ast
import gzip
import json
import zlib
from collections.abc import Collection
from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.sources.raw import Part, Workbench, no_texts
from ecellm.store import conform, keyed

REVIEW = {"overall": "DOUBLE", "reviewerID": "VARCHAR", "asin": "VARCHAR", "reviewText": "VARCHAR"}
REVIEW_TIME = {"unixReviewTime": "BIGINT"}
META = {
    "asin": "VARCHAR",
    "title": "VARCHAR",
    "description": ["VARCHAR"],
    "feature": ["VARCHAR"],
    "brand": "VARCHAR",
    "price": "VARCHAR",
    "category": ["VARCHAR"],
    "also_buy": ["VARCHAR"],
    "also_view": ["VARCHAR"],
    "similar_item": "VARCHAR",
}
META_2014 = {"asin": "VARCHAR", "title": "VARCHAR", "brand": "VARCHAR", "categories": [["VARCHAR"]]}
#: Where a product's number stands in the markup of `similar_item`.
SIMILAR = r"(?:asin=\W?|/dp/)([A-Z0-9]{10})"


def read_reviews(bench: Workbench, folder: Path, categories: Collection[str]) -> ir.Table:
    """Return `reviews`; rows without text, product or user, or with stars outside 1 to 5, are set aside."""
    parts = [
        Part(folder / "review" / "all_category" / f"{name}.json.gz", {"category": name})
        for name in sorted(categories)
    ]
    rows = bench.json_lines(parts, {**REVIEW, **REVIEW_TIME}, ["asin", "reviewerID", "overall"])
    good = rows.overall.isin([1.0, 2.0, 3.0, 4.0, 5.0])
    bench.reject(rows.filter(~good), "review", "stars are not 1 to 5", rows.asin)
    kept = rows.filter(good).mutate(text=rows.reviewText.fill_null(""))
    return conform(
        kept.rename(product_id="asin", user_id="reviewerID", stars="overall", time="unixReviewTime"),
        "reviews",
    )


def read_purchases(bench: Workbench, folder: Path, categories: Collection[str]) -> ir.Table:
    """Return `purchases`; lines without four columns, a rating of 1 to 5 or a whole time are set aside."""
    parts = [
        Part(folder / "rating" / "all_category" / f"{name}.csv", {"category": name}) for name in sorted(categories)
    ]
    checks = [
        ('coalesce(TRY_CAST("row".rating AS DOUBLE) NOT BETWEEN 1 AND 5, true)', "rating is not 1 to 5"),
        ('TRY_CAST(trim("row"."time", chr(13)) AS BIGINT) IS NULL', "time is not a whole number"),
    ]
    rows = bench.csv_lines(parts, ["product_id", "user_id", "rating", "time"], checks)
    return conform(rows.mutate(time=rows.time.strip().cast("int64")), "purchases")


def read_metadata(bench: Workbench, folder: Path, categories: Collection[str]) -> tuple[ir.Table, ir.Table]:
    """Return `products` and `relations`. A product that stands twice in a category is kept once: the row with
    the smallest hash of its content, whatever the file's order; the others are set aside."""
    parts = [
        Part(folder / "meta" / "all_category" / f"meta_{name}.json.gz", {"page": name}) for name in sorted(categories)
    ]
    rows = _one_per_product(bench, bench.json_lines(parts, META, ["asin"]))
    products = rows.select(
        catalogue=ibis.literal("amazon_2018"),
        category=rows.page,
        product_id=rows.asin,
        title=rows.title.nullif(""),
        description=_joined(rows.description),
        feature=_joined(rows.feature),
        brand=rows.brand.nullif(""),
        price=rows.price.nullif(""),
        categories=rows.category.fill_null(no_texts()),
        fields=no_texts(),
    )
    return conform(products, "products"), _relations(rows)


def read_metadata_2014(bench: Workbench, folder: Path, categories: Collection[str], space: Path) -> ir.Table:
    """Return 2014's `products` of those categories whose file is there; `space` takes converted files."""
    parts = []
    for name in sorted(categories):
        path = folder / f"meta_{name}.json.gz"
        if path.is_file():
            bench.record(path)
            parts.append(Part(_as_json(path, space / f"{name}.jsonl"), {"page": name}))
    if not parts:
        raise ValueError(f"{folder} has no 2014 metadata (meta_CATEGORY.json.gz) for {', '.join(categories)}.")
    rows = _one_per_product(bench, bench.json_lines(parts, META_2014, ["asin"], recorded=True))
    products = rows.select(
        catalogue=ibis.literal("amazon_2014"),
        category=rows.page,
        product_id=rows.asin,
        title=rows.title.nullif(""),
        description=ibis.null("string"),
        feature=ibis.null("string"),
        brand=rows.brand.nullif(""),
        price=ibis.null("string"),
        categories=rows.categories[0].fill_null(no_texts()),
        fields=no_texts(),
    )
    return conform(products, "products")


def _one_per_product(bench: Workbench, rows: ir.Table) -> ir.Table:
    texts = [rows[name].cast("string") for name in rows.columns if name not in ("page", "asin")]
    ranked = rows.mutate(
        place=ibis.row_number().over(group_by=[rows.page, rows.asin], order_by=keyed("metadata", *texts))
    )
    ranked = bench.keep(ranked)
    bench.reject(ranked.filter(ranked.place > 0), "metadata", "product stands there already", ranked.asin)
    return bench.keep(ranked.filter(ranked.place == 0).drop("place"))


def _relations(rows: ir.Table) -> ir.Table:
    found = {
        "also_buy": rows.also_buy,
        "also_view": rows.also_view,
        "similar": _extract_all(rows.similar_item.fill_null(""), SIMILAR, 1),
    }
    tables = [
        rows.select(
            category=rows.page,
            product_id=rows.asin,
            other_id=others.fill_null(no_texts()).unnest(),
            relation=ibis.literal(relation),
        )
        for relation, others in found.items()
    ]
    pairs = ibis.union(*tables).filter(lambda t: t.other_id.notnull() & (t.other_id != t.product_id))
    return conform(pairs.distinct(), "relations")


@ibis.udf.scalar.builtin(name="regexp_extract_all", signature=(("string", "string", "int"), "array<string>"))
def _extract_all(text, pattern, group):  # type: ignore[no-untyped-def]
    """Return every match's group; DuckDB and Spark both have this function."""


def _joined(texts: ir.ArrayValue) -> ir.StringValue:
    return texts.fill_null(no_texts()).filter(lambda text: text != "").join(", ").nullif("")


def _as_json(path: Path, beside: Path) -> Path:
    """Convert lines of Python literals to JSON lines; a line that is no dict stays, to be rejected."""
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines, beside.open("w") as file:
            for line in lines:
                file.write(_literal(line) + "\n")
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}). Get the file again.") from error
    return beside


def _literal(line: str) -> str:
    try:
        value = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return line.rstrip("\n")
    return json.dumps(value) if isinstance(value, dict) else line.rstrip("\n")
