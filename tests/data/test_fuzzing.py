"""Outside input at random: each parser gives its rows, counts what it rejects, or refuses in one sentence."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import (
    ALL,
    described,
    judged_product,
    judgement,
    mave_file,
    opened,
    page,
    page_file,
    question,
    rating_file,
    review,
    review_file,
    write_catalogues,
    write_esci,
    write_lines,
    write_mave,
    write_questions,
)

from ecellm.data.config import Sources, read_config
from ecellm.data.dataset import read_dataset
from ecellm.data.ecinstruct.importing import import_published
from ecellm.data.schema import SCHEMAS
from ecellm.data.sources import Wanted
from ecellm.errors import EcellmError

pytestmark = pytest.mark.slow

Row = dict[str, Any]
#: What stands for so many examples, some of them tenths of a second long, that the slow tests stay short.
FEW = settings(max_examples=60)
MANY = settings(max_examples=300)

TEXTS = st.sampled_from(
    ["", " ", "[", "{", '["a"]', '{"a": 1}', "[x] y", "nan", "1e400", "\ud800", "é", '"', "2016", "\0"]
)
NUMBERS = st.sampled_from([0, -1, 1, 5, 2.5, 1e300, 2**63, -(2**63), 2**70, 20160101, 1472688000, 1472688000123])
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("text"), inner, max_size=1),
    max_leaves=3,
)
#: Where, as a share of the bytes, what is put in, and how many bytes go.
PIECES = st.sampled_from(
    [b"", b'"', b",", b"\n", b"\r", b"\r\n", b"\t", b"\xff", b"\0", b"{", b"}", b"[", b"\\", b"\\ud800"]
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), PIECES, st.integers(0, 4)), max_size=3)
Damage = list[tuple[float, bytes, int]]


def damaged(data: bytes, damage: Damage) -> bytes:
    for share, more, gone in damage:
        place = int(share * len(data))
        data = data[:place] + more + data[place + gone :]
    return data


@st.composite
def spoiled(draw: st.DrawFn, make: Callable[[int], Row]) -> bytes:
    """Some JSON lines, of which values were changed or removed, and then bytes."""
    lines = []
    for number in range(draw(st.integers(1, 4))):
        row = make(number)
        for _ in range(draw(st.integers(0, 2))):
            key = draw(st.sampled_from(sorted(row)))
            if isinstance(row[key], list) and row[key] and draw(st.booleans()):
                row[key] = [*row[key], draw(VALUES)]
            elif draw(st.booleans()):
                row[key] = draw(VALUES)
        lines.append(json.dumps(row).encode())
    return damaged(b"\n".join(lines) + b"\n", draw(DAMAGE))


def filled(data: bytes, ends: bytes = rb"\r\n|\n|\r") -> int:
    """How many lines hold more than spaces; in public sources a carriage return alone ends one."""
    return sum(bool(line.strip()) for line in re.split(ends, data))


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def counted(root: Path, sources: Sources, table: str, file: Path) -> int | None:
    """How many rows a table has and rows of its file were rejected; None where the file is refused."""
    wanted = Wanted(["Beauty"], ["Beauty"], ["Beauty"])
    with suppress(EcellmError), opened(root, sources, wanted, [table, "products"]) as (store, bench):
        for each in store.tables.values():
            store.rows(each)
        rejects = [row for row in bench.rejected() if row["file"] == file.relative_to(root).as_posix()]
        assert len(bench.rejected()) == len(rejects)
        return store.count(store[table]) + len(rejects)
    return None


def source(name: str) -> Sources:
    return Sources(**{name: getattr(ALL, name)})


@FEW
@given(spoiled(lambda number: review(f"B{number:09}")))
def test_reviews_are_rows_or_rejects(data: bytes) -> None:
    with folder() as root:
        write_lines(page_file(root), [page()])
        write_lines(rating_file(root), [b"B1,A1,5.0,1400000000"])
        write_lines(review_file(root), [data], end=b"")
        assert counted(root, source("amazon_reviews"), "reviews", review_file(root)) in (None, filled(data))


@FEW
@given(spoiled(lambda number: page(f"B{number:09}")))
def test_pages_are_products_or_rejects(data: bytes) -> None:
    with folder() as root:
        write_lines(page_file(root), [data], end=b"")
        with suppress(EcellmError):
            wanted = Wanted(metadata=["Beauty"])
            with opened(root, source("amazon_reviews"), wanted, ["products", "relations"]) as (store, bench):
                store.rows(store["relations"])
                assert len(store.rows(store["products"])) + len(bench.rejected()) == filled(data)


@FEW
@given(st.integers(1, 4), DAMAGE)
def test_ratings_are_purchases_or_rejects(rows: int, damage: Damage) -> None:
    data = damaged(b"".join(b"B%d,A1,5.0,140000000%d\n" % (number, number) for number in range(rows)), damage)
    with folder() as root:
        write_lines(page_file(root), [page()])
        write_lines(review_file(root), [review()])
        write_lines(rating_file(root), [data], end=b"")
        assert counted(root, source("amazon_reviews"), "purchases", rating_file(root)) in (None, filled(data))


@FEW
@given(spoiled(lambda number: described(f"M{number}")))
def test_described_products_are_products_or_rejects(data: bytes) -> None:
    with folder() as root:
        write_mave(root)
        write_lines(mave_file(root), [data], end=b"")
        with (
            suppress(EcellmError),
            opened(root, source("mave"), Wanted(), ["attributes", "products"]) as (store, bench),
        ):
            store.rows(store["attributes"])
            own = [row for row in store.rows(store["products"]) if row["product_id"].endswith("train/positives")]
            assert len(own) + len(bench.rejected()) == filled(data)


@FEW
@given(spoiled(question))
def test_questions_are_rows_or_rejects(data: bytes) -> None:
    with folder() as root:
        write_questions(root)
        file = write_lines(root / "productQA" / "train-qar.jsonl", [data], end=b"")
        # Two of the files of other splits.
        assert counted(root, source("amazon_qa"), "questions", file) in (None, filled(data) + 2)


@FEW
@given(st.sampled_from(["Amazon.csv", "GoogleProducts.csv", "Amzon_GoogleProducts_perfectMapping.csv"]), DAMAGE)
def test_catalogues_are_read_or_refused(name: str, damage: Damage) -> None:
    with folder() as root:
        file = write_catalogues(root) / name
        file.write_bytes(damaged(file.read_bytes() * 2, damage))
        counted(root, source("amazon_google"), "matches", file)


@st.composite
def odd_tables(draw: st.DrawFn, make: Callable[[int], Row]) -> pa.Table:
    """A Parquet table of which a column holds something else."""
    table = pa.Table.from_pylist([make(number) for number in range(3)])
    column = draw(st.integers(0, table.num_columns - 1))
    values = draw(
        st.sampled_from(
            [
                pa.array([b"fine", b"\xff", None]),
                pa.array([1.5, float("nan"), None]),
                pa.array([["a"], [], None], pa.list_(pa.string())),
                pa.array([{"a": 1}, None, {"a": 2}]),
                pa.array([1 << 62, 0, None], pa.timestamp("us")),
                pa.array([1, 0, None], pa.timestamp("ns", "Mars/Phobos")),
                pa.array([1 << 30, 0, None], pa.date32()),
                pa.array([2**64 - 1, 0, None], pa.uint64()),
                pa.array([True, False, None]),
                pa.array([None, None, None]),
                pa.array(["us", "E", "train"]).dictionary_encode(),
                pa.array([b"fine", b"\xff", b"E"], pa.binary()).view(pa.string()),
            ]
        )
    )
    return table.set_column(column, table.column_names[column], values)


@FEW
@given(odd_tables(judgement), odd_tables(judged_product), DAMAGE, st.booleans())
def test_judgements_are_rows_or_rejects(examples: pa.Table, products: pa.Table, damage: Damage, cut: bool) -> None:
    with folder() as root:
        base = write_esci(root, [judgement(1)], [judged_product(1)])
        file = base / "shopping_queries_dataset_examples.parquet"
        pq.write_table(examples, file)
        pq.write_table(products, base / "shopping_queries_dataset_products.parquet")
        if cut:
            file.write_bytes(damaged(file.read_bytes(), damage))
        with suppress(EcellmError), opened(root, source("esci"), Wanted(), ["judgements"]) as (store, bench):
            found = store.count(store["judgements"]) + store.count(store["products"]) + len(bench.rejected())
            if (
                not cut
                and examples["product_locale"].to_pylist() == products["product_locale"].to_pylist() == ["us"] * 3
            ):
                assert found == 6


OWN: dict[str, Row] = {
    "products": {"product_id": "1", "title": "mug", "price": "4", "categories": ["a"]},
    "reviews": {"stars": 5, "text": "fine", "time": 1472688000, "user_id": "u"},
    "purchases": {"product_id": "1", "user_id": "u", "time": "2016-09-01"},
    "judgements": {"query": "mug", "title": "mug", "label": "E", "small": "yes", "split": "train"},
    "pairs": {"left_title": "mug", "right_title": "pot", "label": "yes", "split": "test"},
    "attributes": {"product_id": "1", "attribute": "kind", "value": "mug", "field": "title", "position": 1},
    "questions": {
        "question": "Loud?",
        "snippets": ["no"],
        "answers": [{"text": "no", "helpful": 1}],
        "answerable": True,
    },
}


@st.composite
def own_tables(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A table's name, its file's, and what is in it."""
    name = draw(st.sampled_from(sorted(OWN)))
    data = draw(spoiled(lambda number: dict(OWN[name])))
    kind = draw(st.sampled_from(["jsonl", "csv", "tsv", "jsonl.gz"]))
    if kind in ("csv", "tsv"):
        mark = "\t" if kind == "tsv" else ","
        cells = [
            draw(st.lists(TEXTS | st.just("5"), min_size=len(OWN[name]), max_size=len(OWN[name]))) for _ in range(3)
        ]
        good = [value if isinstance(value, str) else json.dumps(value) for value in OWN[name].values()]
        rows = [[text.replace('"', '""') for text in row] for row in (list(OWN[name]), good, *cells)]
        text = "\n".join(mark.join(f'"{cell}"' for cell in row) for row in rows)
        data = damaged(text.encode("utf-8", "surrogatepass"), draw(DAMAGE))
    return name, f"table.{kind}", gzip.compress(data) if kind.endswith("gz") else data


@settings(max_examples=150)
@given(own_tables())
def test_own_tables_are_rows_or_rejects(given_table: tuple[str, str, bytes]) -> None:
    name, file, data = given_table
    with folder() as root:
        (root / file).write_bytes(data)
        sources = Sources.model_validate({"tables": {name: {"file": file}}})
        with suppress(EcellmError), opened(root, sources, Wanted(), tuple(SCHEMAS)) as (store, bench):
            rows = store.count(store[name]) + len(bench.rejected())
            if ".jsonl" in file:
                assert rows == filled(gzip.decompress(data) if file.endswith("gz") else data, rb"\n")
            for table in store.tables.values():
                store.rows(table)


def published(number: int) -> Row:
    return {
        "instruction": "Say yes or no.",
        "input": f"mug {number}",
        "options": None,
        "output": "yes",
        "few_shot_example": None,
        "task": "Product_Matching",
        "split": "train",
        "setting": "IND_Diverse_Instruction",
    }


@MANY
@given(spoiled(published), st.booleans(), st.booleans())
def test_published_rows_are_rows_or_rejects(data: bytes, array: bool, marked: bool) -> None:
    if array:
        data = b"[" + data.strip().replace(b"\n", b",") + b"]"
    with folder() as root:
        (root / "rows.json").write_bytes((b"\xef\xbb\xbf" if marked else b"") + data)
        with suppress(EcellmError):
            manifest = import_published(root / "rows.json", root / "data")
            read_dataset(root / "data")
            rejected = sum(sum(reasons.values()) for reasons in manifest["rejected"].values())
            try:
                there = (
                    json.loads(data) if array else [json.loads(line) for line in data.split(b"\n") if line.strip()]
                )
            except ValueError:
                return  # values that line breaks do not divide
            assert sum(manifest["published_rows"].values()) + rejected == len(there)


CONFIG = b"""seed = 1
[sources]
esci = "esci"
amazon_google_encoding = "utf-8"
[sources.tables.pairs]
file = "pairs.csv"
columns = { left_title = "a" }
fields = ["title", "brand"]
[tasks.SA]
train = 5
ood_by = "time"
out_of_domain = ["2017-01-01"]
labels = "balanced"
max_words = 40
"""


@MANY
@given(DAMAGE, st.sampled_from(CONFIG.splitlines()), st.sampled_from(CONFIG.splitlines()), VALUES)
def test_build_configs_are_read_or_refused(damage: Damage, line: bytes, other: bytes, value: object) -> None:
    key = line.partition(b" =")[0]
    changed = CONFIG.replace(other, key + b" = " + json.dumps(value).encode())
    for data in (damaged(CONFIG, damage), changed, damaged(changed, damage)):
        with folder() as root:
            (root / "c.toml").write_bytes(data)
            with suppress(EcellmError):
                read_config(root / "c.toml")
