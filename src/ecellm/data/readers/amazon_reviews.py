"""Amazon Review 2018 (and 2014's metadata): reviews, products, relations, purchases.

Files, per category: review/all_category/C.json.gz, meta/all_category/meta_C.json.gz (JSON lines) and
rating/all_category/C.csv (item,user,rating,time; no header). The 2014 metadata, meta_C.json.gz, has Python
dict literals for lines; they are read as literals, nothing is executed.
https://nijianmo.github.io/amazon/ and https://jmcauley.ucsd.edu/data/amazon/links.html
"""

import ast
import gzip
import json
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.data.engines.base import Part, Structure, Tables, Workbench, pieces
from ecellm.data.readers.times import IMPLAUSIBLE, implausible, in_seconds
from ecellm.data.schema import conform, no_texts
from ecellm.io.tables.lines import opened

REVIEW = {
    "overall": "DOUBLE",
    "reviewerID": "VARCHAR",
    "asin": "VARCHAR",
    "reviewText": "VARCHAR",
    "unixReviewTime": "BIGINT",
}
STARS = (1.0, 2.0, 3.0, 4.0, 5.0)
META: Structure = {
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
META_2014: Structure = {"asin": "VARCHAR", "title": "VARCHAR", "brand": "VARCHAR", "categories": [["VARCHAR"]]}
#: Where a product's number stands in the markup of `similar_item`: in a parameter, an attribute or a link.
SIMILAR = r"(?:asin=[\"'\\]*|/dp/|/gp/product/)([A-Z0-9]{10})\b"


def review_parts(folder: Path, categories: Collection[str]) -> list[Part]:
    """Return the files of reviews."""
    kind = folder / "review" / "all_category"
    return [Part(kind / f"{name}.json.gz", {"category": name}) for name in sorted(categories)]


def rating_parts(folder: Path, categories: Collection[str]) -> list[Part]:
    """Return the files of ratings."""
    kind = folder / "rating" / "all_category"
    return [Part(kind / f"{name}.csv", {"category": name}) for name in sorted(categories)]


def metadata_parts(folder: Path, categories: Collection[str]) -> list[Part]:
    """Return the files of metadata."""
    kind = folder / "meta" / "all_category"
    return [Part(kind / f"meta_{name}.json.gz", {"page": name}) for name in sorted(categories)]


def metadata_2014_parts(folder: Path, categories: Collection[str]) -> list[Part]:
    """Return the files of 2014's metadata."""
    return [Part(folder / f"meta_{name}.json.gz", {"page": name}) for name in sorted(categories)]


def read_reviews(bench: Workbench, given: Sequence[Part], space: Path, first: int | None = None) -> Tables:
    """Return `reviews`; rows without product, user or time, whose stars are not 1 to 5 or whose time
    cannot be meant, are rejected.

    A review without text has an empty one. Only the `first` so many lines of each file are read (None: all), as far
    as a folder holds it in several files, from its first file on; `space` takes copies of them.
    """
    parts = given if first is None else _first_lines(bench, given, space, first)
    rows = bench.json_lines(
        parts,
        REVIEW,
        ["asin", "reviewerID", "overall", "unixReviewTime"],
        {
            "stars are not 1 to 5": lambda row: row.overall.notin(STARS),
            IMPLAUSIBLE: lambda row: implausible(row.unixReviewTime),
        },
    )
    if first is not None:
        for part in parts:
            bench.discard(part.path)
    rows = rows.mutate(text=rows.reviewText.fill_null(""), unixReviewTime=in_seconds(rows.unixReviewTime))
    rows = rows.rename(product_id="asin", user_id="reviewerID", stars="overall", time="unixReviewTime")
    return {"reviews": conform(rows, "reviews")}


def read_purchases(bench: Workbench, parts: Sequence[Part]) -> Tables:
    """Return `purchases`; lines without four columns, a rating of 1 to 5 or a plausible time are rejected."""
    rows = bench.csv_lines(
        parts,
        ["product_id", "user_id", "rating", "time"],
        {
            "product or user is missing": lambda row: (row.product_id == "") | (row.user_id == ""),
            "rating is not 1 to 5": lambda row: ~row.rating.try_cast("float64").between(1, 5).fill_null(False),
            "time is not a whole number": lambda row: row.time.try_cast("int64").isnull(),
            IMPLAUSIBLE: lambda row: implausible(row.time.try_cast("int64")),
        },
    )
    bench.forget(rows, "rating")
    return {"purchases": conform(rows.mutate(time=in_seconds(rows.time.cast("int64"))), "purchases")}


def read_metadata(bench: Workbench, parts: Sequence[Part]) -> Tables:
    """Return `products` and `relations`; of a product that stands twice in a category one row is kept."""
    rows = bench.json_lines(parts, META, ["asin"], by=["page", "asin"])
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
    )
    relations = bench.keep(_relations(rows))
    bench.forget(rows, "also_buy", "also_view", "similar_item")
    return {"products": conform(products, "products"), "relations": relations}


def read_metadata_2014(bench: Workbench, given: Sequence[Part], space: Path) -> Tables:
    """Return 2014's `products`, title, brand and categories only; `space` takes the converted files."""
    originals = pieces(given)
    bench.inspect([part.path for part in originals])
    parts = [
        replace(part, path=_as_json(part.path, space / f"2014-{place}.jsonl"), converted_from=part.path)
        for place, part in enumerate(originals)
    ]
    rows = bench.json_lines(parts, META_2014, ["asin"], by=["page", "asin"])
    for part in parts:
        bench.discard(part.path)
    products = rows.select(
        catalogue=ibis.literal("amazon_2014"),
        category=rows.page,
        product_id=rows.asin,
        title=rows.title.nullif(""),
        brand=rows.brand.nullif(""),
        categories=rows.categories[0].fill_null(no_texts()),
    )
    return {"products": conform(products, "products")}


def _first_lines(bench: Workbench, given: Sequence[Part], space: Path, count: int) -> list[Part]:
    """Return copies of the first `count` lines of each part, blank and broken ones included.

    A folder's files are taken in their order; those after the last line that counts are not read at all.
    """
    copies: list[Part] = []
    for part in given:
        left = count
        for piece in pieces([part]):
            if not left:
                break
            bench.inspect([piece.path])
            copy = space / f"first-reviews-{len(copies)}.jsonl"
            with opened(piece.path) as lines, copy.open("wb") as file:
                for line in islice(lines, left):
                    file.write(line)
                    left -= 1
            copies.append(replace(piece, path=copy, converted_from=piece.path))
    return copies


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
            other_id=_distinct(others.fill_null(no_texts())).unnest(),
            relation=ibis.literal(relation),
        )
        for relation, others in found.items()
    ]
    # A product has one row: what is distinct in each of its lists is distinct.
    pairs = ibis.union(*tables).filter(lambda t: (t.other_id != "") & (t.other_id != t.product_id))
    return conform(pairs, "relations")


@ibis.udf.scalar.builtin(name="regexp_extract_all", signature=(("string", "string", "int"), "array<string>"))
def _extract_all(text, pattern, group):  # type: ignore[no-untyped-def]
    """Return every match's group; DuckDB and Spark both have this function."""


@ibis.udf.scalar.builtin(name="array_distinct", signature=(("array<string>",), "array<string>"))
def _distinct(texts):  # type: ignore[no-untyped-def]
    """Return each text once; DuckDB and Spark both have this function."""


def _joined(texts: ir.ArrayValue) -> ir.StringValue:
    return texts.fill_null(no_texts()).filter(lambda text: text != "").join(", ").nullif("")


def _as_json(path: Path, beside: Path) -> Path:
    """Convert lines of Python literals to JSON lines, one by one; a line that is none stays, to be rejected."""
    with gzip.open(path) as lines, beside.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of odd escapes in literals
        for line in lines:
            file.write(_literal(line.rstrip(b"\r\n")) + b"\n")
    return beside


def _literal(line: bytes) -> bytes:
    """Return what is needed of a dict literal as JSON, or the line itself where it is none."""
    try:
        value = ast.literal_eval(line.decode("utf-8").strip())
        if not isinstance(value, dict):
            return line
        needed = {name: value[name] for name in META_2014 if name in value}
        return json.dumps(needed, allow_nan=False).encode("ascii")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return line
