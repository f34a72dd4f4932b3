"""Tiny made-up files of every benchmark format."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Record = dict[str, str]
#: Left, right, whether they match.
Pair = tuple[Record, Record, int]
COLOURS, THINGS = ("red", "blue", "green"), ("mug", "lamp", "tent", "sofa")


def record(number: int, colour: str, thing: str) -> Record:
    return {"title": f"{colour} {thing}", "brand": "acme", "modelno": f"m{number}", "price": ""}


def pairs(count: int, first: int = 0) -> list[Pair]:
    """Pairs that match where the model number is the same."""
    made = []
    for number in range(first, first + count):
        colour, thing = COLOURS[number % 3], THINGS[number % 4]
        same = number % 2
        other = {**record(number if same else number + 500, colour, thing), "price": "4.99"}
        made.append((record(number, colour, thing), other, same))
    return made


SPLITS: dict[str, list[Pair]] = {"train": pairs(12), "valid": pairs(4, 20), "test": [*pairs(6, 40), pairs(1)[0]]}


def ditto(folder: Path, splits: dict[str, list[Pair]] = SPLITS) -> Path:
    def text(row: Record) -> str:
        return " ".join(f"COL {name} VAL {value}" for name, value in row.items()) + " "

    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        lines = [f"{text(left)}\t{text(right)}\t{label}\n" for left, right, label in rows]
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def deepmatcher(folder: Path, splits: dict[str, list[Pair]] = SPLITS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[Record]] = {"tableA": [], "tableB": []}
    for name, rows in splits.items():
        labelled = []
        for left, right, label in rows:
            places = []
            for table, row in zip(tables.values(), (left, right), strict=True):
                table.append(row)
                places.append(str(len(table) - 1))
            labelled.append({"ltable_id": places[0], "rtable_id": places[1], "label": str(label)})
        _csv(folder / f"{name}.csv", labelled)
    for name, rows in tables.items():
        _csv(folder / f"{name}.csv", [{"id": str(place), **row} for place, row in enumerate(rows)])
    return folder


def _csv(path: Path, rows: Sequence[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def wdc(folder: Path, stem: str = "wdcproducts80cc20rnd", unseen: str = "050", size: str = "small") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = (f"{stem}000un_train_{size}", f"{stem}000un_valid_{size}", f"{stem}{unseen}un_gs")
    for name, rows in zip(names, SPLITS.values(), strict=True):
        lines = []
        for place, (left, right, label) in enumerate(rows):
            sides: dict[str, Any] = {"label": label, "pair_id": f"{place}#{place}"}
            for side, row in (("left", left), ("right", right)):
                sides |= {f"id_{side}": place, f"title_{side}": row["title"], f"brand_{side}": row["brand"]}
                sides |= {f"price_{side}": row["price"] or None, f"priceCurrency_{side}": "EUR"}
                sides |= {f"description_{side}": f"model\n {row['modelno']}"}
            lines.append(json.dumps(sides) + "\n")
        (folder / f"{name}.json.gz").write_bytes(gzip.compress("".join(lines).encode()))
    return folder


def product(title: str, category: str, **values: str | list[str]) -> dict[str, Any]:
    """A product; underscores stand for spaces in attributes."""
    scores = {
        name.replace("_", " "): dict.fromkeys([value] if isinstance(value, str) else value, 1)
        for name, value in values.items()
    }
    return {"input": title, "category": category, "target_scores": scores}


TRAIN = [
    product(f"Kern {colour.title()} {thing.title()} No. {number}", "Home", Brand="Kern", Color=colour.title())
    for number in range(12)
    for colour in COLOURS
    for thing in THINGS
]
TEST = [
    product("Kern Red Mug", "Home", Brand="Kern", Color="Red"),
    product("Odd Cup", "Home", Brand="n/a", Color="n/a", Net_weight=["n/a"]),
    product("TENT tent 2kg", "Home", Net_weight="2kg"),
]


def extractgpt(folder: Path, train: Sequence[Any] = TRAIN, test: Sequence[Any] = TEST) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("test", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def esci(folder: Path, queries: int = 60) -> Path:
    """Four judgements of each query, one a label; every third query is a test query, one row has no product."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, products = [], {}
    for query in range(queries):
        for place, label in enumerate("ESCI"):
            name = f"B{query}{place}"
            products[name] = f"{COLOURS[place % 3]} thing {query} {place}"
            rows.append((f"things {query}", name, "us", label, 1, "test" if query % 3 == 0 else "train"))
    rows += [("things 1", "nowhere", "us", "E", 1, "train"), ("cosas", "B00", "es", "E", 1, "test")]
    names = ("query", "product_id", "product_locale", "esci_label", "small_version", "split")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns["example_id"] = list(range(len(rows)))
    pq.write_table(pa.table(columns), folder / "shopping_queries_dataset_examples.parquet")
    empty = pa.nulls(len(products), pa.string())
    found = {
        "product_id": list(products),
        "product_title": list(products.values()),
        "product_locale": ["us"] * len(products),
        **{f"product_{name}": empty for name in ("description", "bullet_point", "brand")},
    }
    pq.write_table(pa.table(found), folder / "shopping_queries_dataset_products.parquet")
    return folder
