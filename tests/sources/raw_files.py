"""Small raw files in the sources' own formats, written by the tests."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def json_gz(path: Path, rows: Sequence[Any]) -> Path:
    """Write JSON lines; a string among the rows is written as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
    return path


def review(asin: str, user: str, stars: float, text: str, time: int = 1_500_000_000) -> dict[str, Any]:
    return {"overall": stars, "reviewerID": user, "asin": asin, "reviewText": text, "unixReviewTime": time}


def page(asin: str, title: str, **more: Any) -> dict[str, Any]:
    empty = {"category": ["Things"], "description": [], "feature": [], "brand": "", "price": "", "similar_item": ""}
    return {**empty, "also_buy": [], "also_view": [], "title": title, "asin": asin, **more}


def reviews_folder(root: Path) -> Path:
    return root / "amazon" / "review" / "all_category"


def meta_folder(root: Path) -> Path:
    return root / "amazon" / "meta" / "all_category"


def ratings(root: Path, category: str, lines: Sequence[str]) -> Path:
    path = root / "amazon" / "rating" / "all_category" / f"{category}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))
    return path


def leipzig(
    root: Path, amazon: Sequence[Sequence[str]], google: Sequence[Sequence[str]], pairs: Sequence[str]
) -> Path:
    folder = root / "leipzig"
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, header: str, rows: Sequence[Sequence[str]]) -> None:
        body = "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)
        (folder / name).write_bytes((header + "\n" + body).encode("latin-1"))

    write("Amazon.csv", '"id","title","description","manufacturer","price"', amazon)
    write("GoogleProducts.csv", '"id","name","description","manufacturer","price"', google)
    write("Amzon_GoogleProducts_perfectMapping.csv", '"idAmazon","idGoogleBase"', [pair.split(" ") for pair in pairs])
    return folder


def esci(root: Path, examples: Sequence[Mapping[str, Any]], products: Sequence[Mapping[str, Any]]) -> Path:
    folder = root / "esci"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(examples)), folder / "shopping_queries_dataset_examples.parquet")
    pq.write_table(pa.Table.from_pylist(list(products)), folder / "shopping_queries_dataset_products.parquet")
    return folder


def judged(
    query: str, product: str, label: str, locale: str = "us", small: int = 1, split: str = "train"
) -> dict[str, Any]:
    return {
        "query": query,
        "product_id": product,
        "product_locale": locale,
        "esci_label": label,
        "small_version": small,
        "split": split,
    }


def esci_product(product: str, title: str, locale: str = "us") -> dict[str, Any]:
    return {
        "product_id": product,
        "product_locale": locale,
        "product_title": title,
        "product_description": None,
        "product_bullet_point": "one",
        "product_brand": "b",
    }


def mave(root: Path, split: str, kind: str, rows: Sequence[Any]) -> None:
    folder = root / "mave" / "datasets" / "splits" / "PRODUCT" / split / "00_All"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / f"mave_{kind}.jsonl").write_text("".join(line + "\n" for line in lines))


def qa(root: Path, split: str, rows: Sequence[Any]) -> None:
    folder = root / "qa"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / f"{split}-qar.jsonl").write_text("".join(line + "\n" for line in lines))
