"""Small raw files in the sources' own formats, written by the tests, and a way to read them back."""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.data.config import Sources
from ecellm.data.engines.base import Workbench
from ecellm.data.manifest import InputFile
from ecellm.data.schema import SCHEMAS, Store
from ecellm.data.sources import EngineChoice, Wanted, open_shelf

ALL = Sources(
    amazon_reviews="amazon_review_2018",
    amazon_google="amazon_google",
    esci="shopping_queries_dataset",
    mave="mave",
    amazon_qa="productQA",
)

SPARK = EngineChoice("spark", "2GB", "local[2]")
#: What `read` reads with; the fixture `engine` sets it.
ENGINE = EngineChoice()


class Read:
    """What a build would find: each table's rows, the rejects and the input files."""

    def __init__(
        self, tables: dict[str, list[dict[str, Any]]], rejects: list[dict[str, Any]], inputs: list[InputFile]
    ):
        self.tables = tables
        self.rejects = rejects
        self.inputs = inputs

    def __getitem__(self, table: str) -> list[dict[str, Any]]:
        return self.tables[table]

    def product(self, product_id: str, catalogue: str | None = None) -> dict[str, Any]:
        (found,) = (
            row
            for row in self["products"]
            if row["product_id"] == product_id and catalogue in (None, row["catalogue"])
        )
        return found

    def reasons(self) -> Counter[tuple[str, str]]:
        """Counts per file name and reason."""
        return Counter((row["file"].rsplit("/", 1)[-1], row["reason"]) for row in self.rejects)

    def places(self) -> dict[int | None, str]:
        """Reason by line."""
        return {row["line"]: row["reason"] for row in self.rejects}


def read(
    root: Path,
    sources: Sources,
    *,
    reviews: Collection[str] = (),
    metadata: Collection[str] = (),
    ratings: Collection[str] = (),
    first_reviews: int | None = None,
    tables: Collection[str] = tuple(SCHEMAS),
) -> Read:
    """Open the Store, collect every table (rows sorted), and close it."""
    with opened(root, sources, Wanted(reviews, metadata, ratings, first_reviews), tables) as (store, bench):
        found = {name: in_order(store.rows(table)) for name, table in store.tables.items()}
        for name, table in store.tables.items():
            assert table.schema() == SCHEMAS[name], name
        return Read(found, bench.rejected(), list(bench.inputs))


@contextmanager
def opened(
    root: Path,
    sources: Sources,
    wanted: Wanted,
    tables: Collection[str],
    temporary: Path | None = None,
    engine: EngineChoice | None = None,
) -> Iterator[tuple[Store, Workbench]]:
    """Read all that the tables need, with the engine that is being tested or the one given; the Store and its
    workbench."""
    with open_shelf(root, sources, wanted, tables, engine or ENGINE, temporary) as shelf:
        yield shelf.store(), shelf.bench


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def write_lines(path: Path, lines: Iterable[Any], end: bytes = b"\n") -> Path:
    """Write lines (bytes as they are, anything else as JSON), gzipped where the name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + end for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


# Amazon Review


def review(item: str = "B000000001", user: str = "A1", **changes: Any) -> dict[str, Any]:
    row = {
        "overall": 5.0,
        "verified": True,
        "reviewTime": "09 1, 2016",
        "reviewerID": user,
        "asin": item,
        "style": {"Size:": " 7.0 oz"},
        "reviewText": "As advertised.",
        "summary": "Five Stars",
        "unixReviewTime": 1472688000,
    }
    return {**row, **changes}


def page(item: str = "B000000001", **changes: Any) -> dict[str, Any]:
    row = {
        "category": ["Beauty", "Hair Care"],
        "tech1": "",
        "description": ["A comb.", "", "Made of wood."],
        "title": f"Comb {item}",
        "also_buy": [],
        "brand": "Woody",
        "feature": ["light", "strong"],
        "rank": [],
        "also_view": [],
        "details": {"ASIN: ": item},
        "similar_item": "",
        "price": "$4.99",
        "asin": item,
        "imageURL": [],
    }
    return {**row, **changes}


def review_file(root: Path, category: str = "Beauty") -> Path:
    return root / "amazon_review_2018" / "review" / "all_category" / f"{category}.json.gz"


def page_file(root: Path, category: str = "Beauty") -> Path:
    return root / "amazon_review_2018" / "meta" / "all_category" / f"meta_{category}.json.gz"


def rating_file(root: Path, category: str = "Beauty") -> Path:
    return root / "amazon_review_2018" / "rating" / "all_category" / f"{category}.csv"


# Amazon-Google


def write_catalogues(
    root: Path,
    amazon: Iterable[tuple[str, ...]] = (("a1", "word 7", "writes", "acme", "39.99"),),
    google: Iterable[tuple[str, ...]] = (("http://g/1", "acme word 7.0", "", "", "gbp 20.00"),),
    mapping: Iterable[tuple[str, ...]] = (("a1", "http://g/1"),),
) -> Path:
    folder = root / "amazon_google"
    folder.mkdir(parents=True, exist_ok=True)
    head = ("id", "title", "description", "manufacturer", "price")
    write_csv(folder / "Amazon.csv", head, amazon)
    write_csv(folder / "GoogleProducts.csv", ("id", "name", *head[2:]), google)
    write_csv(folder / "Amzon_GoogleProducts_perfectMapping.csv", ("idAmazon", "idGoogleBase"), mapping)
    return folder


def write_csv(path: Path, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="latin-1", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


# ESCI


def judgement(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "example_id": number,
        "query": "wooden comb",
        "query_id": 7,
        "product_id": f"P{number}",
        "product_locale": "us",
        "esci_label": "E",
        "small_version": 1,
        "large_version": 1,
        "split": "train",
    }
    return {**row, **changes}


def judged_product(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "product_id": f"P{number}",
        "product_title": f"Comb {number}",
        "product_description": "<p>A comb</p>",
        "product_bullet_point": "light",
        "product_brand": "Woody",
        "product_color": None,
        "product_locale": "us",
    }
    return {**row, **changes}


def write_esci(root: Path, examples: list[dict[str, Any]], products: list[dict[str, Any]]) -> Path:
    folder = root / "shopping_queries_dataset"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(examples), folder / "shopping_queries_dataset_examples.parquet")
    pq.write_table(pa.Table.from_pylist(products), folder / "shopping_queries_dataset_products.parquet")
    return folder


# MAVE


def described(
    item: str = "M1",
    paragraphs: Iterable[tuple[str, str]] = (("title", "Oak comb"),),
    attributes: Mapping[str, Iterable[tuple[str, int]]] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A MAVE row: paragraphs as (source, text), attributes as name to (value, paragraph number)."""
    texts = list(paragraphs)
    marked = {"Material": [("Oak", 0)]} if attributes is None else attributes
    row = {
        "id": item,
        "category": "Combs",
        "paragraphs": [{"text": text, "source": source} for source, text in texts],
        "attributes": [
            {"key": name, "evidences": [{"value": v, "pid": pid, "begin": 0, "end": len(v)} for v, pid in found]}
            for name, found in marked.items()
        ],
    }
    return {**row, **changes}


def mave_file(root: Path, split: str = "train", kind: str = "positives") -> Path:
    return root / "mave" / "datasets" / "splits" / "PRODUCT" / split / "00_All" / f"mave_{kind}.jsonl"


def write_mave(root: Path, files: Mapping[tuple[str, str], Iterable[Any]] | None = None) -> None:
    """Write the six files; those not given hold one product of their own."""
    for split in ("train", "val", "test"):
        for kind in ("positives", "negatives"):
            row = described(f"{split}-{kind}", attributes=None if kind == "positives" else {"Size": []})
            write_lines(mave_file(root, split, kind), (files or {}).get((split, kind), [row]))


# AmazonQA


def question(number: int = 1, **changes: Any) -> dict[str, Any]:
    row = {
        "asin": f"Q{number}",
        "category": "Beauty",
        "questionText": f"Is comb {number} made of oak?",
        "questionType": "yesno",
        "review_snippets": ["It is oak.", "Nice."],
        "answers": [{"answerText": "Yes.", "answerType": "Y", "helpful": [3, 4]}],
        "is_answerable": 1,
    }
    return {**row, **changes}


def write_questions(root: Path, **splits: Iterable[Any]) -> None:
    """Write train, val and test; those not given hold one question of their own."""
    for place, split in enumerate(("train", "val", "test"), 100):
        write_lines(root / "productQA" / f"{split}-qar.jsonl", splits.get(split, [question(place)]))
