"""A shop's own tables: every kind of file, columns by the shop's names, and plain words where something lacks."""

import csv
import gzip
import io
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from source_files import opened

from ecellm.data.config import Sources
from ecellm.data.dataset import read_dataset
from ecellm.data.schema import SCHEMAS
from ecellm.data.sources import Wanted, obstacles
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS
from repository import REPOSITORY

pytestmark = pytest.mark.usefixtures("engine")

Run = Callable[..., tuple[int, str, str]]
Row = dict[str, Any]
REVIEWS = [
    {"rating": 5, "comment": "a fine mug", "department": "Home"},
    {"rating": 1, "comment": 'it "leaks", badly\nevery day', "department": "Home"},
]


def write(path: Path, rows: list[Row]) -> Path:
    """Write rows in the form that the ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ".csv" in path.name or ".tsv" in path.name:
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, rows[0], delimiter="\t" if ".tsv" in path.name else ",")
        writer.writeheader()
        writer.writerows(rows)
        text = file.getvalue().encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def sources(**tables: Any) -> Sources:
    return Sources.model_validate({"tables": tables})


def read(root: Path, name: str, **tables: Any) -> tuple[list[Row], list[Row]]:
    """Return a table's rows and what was set aside."""
    with opened(root, sources(**tables), Wanted(), set(SCHEMAS)) as (store, bench):
        return store.rows(store[name]), bench.rejected()


MAPPED = {"stars": "rating", "text": "comment", "category": "department"}


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.csv.gz", "r.jsonl", "r.json.gz", "r.ndjson", "r.parquet"])
def test_every_kind_of_file_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, REVIEWS)
    rows, rejected = read(tmp_path, "reviews", reviews={"file": name, "columns": MAPPED})
    assert sorted((row["stars"], row["text"], row["category"]) for row in rows) == [
        (1, 'it "leaks", badly\nevery day', "Home"),
        (5, "a fine mug", "Home"),
    ]
    assert rejected == []


def test_a_database_table_gives_the_same_rows(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as shop:
        shop.execute("create table reviews (rating int, comment text, department text)")
        shop.executemany("insert into reviews values (:rating, :comment, :department)", REVIEWS)
    shop.close()
    given = {"database": "shop.sqlite", "table": "reviews", "columns": MAPPED}
    rows, _ = read(tmp_path, "reviews", reviews=given)
    assert sorted(row["stars"] for row in rows) == [1, 5]


def test_what_a_table_does_not_say_is_filled_in(tmp_path: Path) -> None:
    write(tmp_path / "r.csv", [{"stars": "4.0", "text": "good"}])
    rows, _ = read(tmp_path, "reviews", reviews={"file": "r.csv"})
    assert rows == [{"category": "shop", "product_id": "", "user_id": "", "stars": 4, "text": "good", "time": 0}]
    write(tmp_path / "q.jsonl", [{"question": "Loud?", "snippets": ["no"]}] * 2)
    rows, _ = read(tmp_path, "questions", questions={"file": "q.jsonl"})
    assert {(row["kind"], row["answerable"], tuple(row["snippets"]), row["split"] != "") for row in rows} == {
        ("descriptive", False, ("no",), True)
    }
    assert len({row["split"] for row in rows}) == 1


def test_times_truths_lists_and_answers_are_read_as_people_write_them(tmp_path: Path) -> None:
    times = ["1700000000", "1700000000.0", "2023-11-14 22:13:20+00", "soon"]
    write(tmp_path / "p.csv", [{"product_id": str(n), "user_id": "u", "time": time} for n, time in enumerate(times)])
    rows, rejected = read(tmp_path, "purchases", purchases={"file": "p.csv"})
    assert [row["time"] for row in rows] == [1_700_000_000] * 3
    assert [row["reason"] for row in rejected] == ["time is no date or time from 1990 to tomorrow"]
    said = [["It is.", "No."], [{"text": "It is.", "helpful": 3}], "It is."]
    questions = [
        {"question": f"{n}?", "snippets": "quiet", "answers": answers, "answerable": truth}
        for n, (answers, truth) in enumerate(zip(said, ["yes", "0", "TRUE"], strict=True))
    ]
    write(tmp_path / "q.jsonl", questions)
    rows, _ = read(tmp_path, "questions", questions={"file": "q.jsonl"})
    found = {row["question"]: (row["answerable"], row["snippets"], row["answers"]) for row in rows}
    assert found["0?"] == (True, ["quiet"], [{"text": "It is.", "helpful": None}, {"text": "No.", "helpful": None}])
    assert found["1?"] == (False, ["quiet"], [{"text": "It is.", "helpful": 3}])
    assert found["2?"] == (True, ["quiet"], [{"text": "It is.", "helpful": None}])


def test_bad_rows_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    rows = [{"stars": 5, "text": "good"}, {"stars": 7, "text": "odd"}, {"stars": None, "text": "none"}, {"text": ""}]
    path = write(tmp_path / "r.jsonl", rows)
    path.write_text(path.read_text() + "{broken\n[1]\n")
    kept, rejected = read(tmp_path, "reviews", reviews={"file": "r.jsonl"})
    assert [row["text"] for row in kept] == ["good"]
    assert [(row["line"], row["reason"]) for row in rejected] == [
        (2, "stars has the wrong type"),
        (3, "stars is missing"),
        (4, "stars is missing"),
        (5, "not a JSON object"),
        (6, "not a JSON object"),
    ]


def test_products_stand_where_each_task_looks_for_them(tmp_path: Path) -> None:
    write(
        tmp_path / "p.csv",
        [
            {"product_id": "a", "title": "Mug", "catalogue": "ours", "brand": "B"},
            {"product_id": "b", "title": "Cup", "catalogue": "theirs", "brand": ""},
        ],
    )
    write(tmp_path / "m.csv", [{"left_id": "a", "right_id": "b"}])
    write(tmp_path / "j.csv", [{"query": "mug", "product_id": "a", "label": "E"}])
    write(tmp_path / "a.csv", [{"product_id": "a", "attribute": "Type", "value": "Mug", "field": "title"}])
    names = {"products": "p.csv", "matches": "m.csv", "judgements": "j.csv", "attributes": "a.csv"}
    rows, _ = read(tmp_path, "products", **{name: {"file": file} for name, file in names.items()})
    found = sorted((row["catalogue"], row["product_id"], tuple(row["fields"])) for row in rows)
    assert found == [
        ("amazon", "a", ()),
        ("esci", "a", ()),
        ("esci", "b", ()),
        ("google", "b", ()),
        ("mave", "a", ("title", "brand")),
        ("mave", "b", ("title",)),
    ]


def test_of_products_that_share_an_id_one_is_kept_and_the_others_are_rejected(tmp_path: Path) -> None:
    products = [{"product_id": "1", "title": title} for title in ("Mug", "Cup", "Pot")]
    write(tmp_path / "p.jsonl", [*products, {"product_id": "2", "title": "Tent"}])
    write(tmp_path / "j.jsonl", [{"query": "mug", "product_id": name, "label": "E"} for name in "123"])
    given = {"products": {"file": "p.jsonl"}, "judgements": {"file": "j.jsonl"}}
    rows, rejected = read(tmp_path, "products", **given)
    assert sorted(row["product_id"] for row in rows) == ["1", "2"]
    assert [row["reason"] for row in rejected] == ["product stands there already"] * 2
    assert {row["title"] for row in rows} <= {"Mug", "Cup", "Pot", "Tent"}


def related_and_judged(root: Path, products: list[Row]) -> list[Row]:
    """The Store's products of these and of tables that name them by id alone; none may be rejected."""
    write(root / "p.jsonl", products)
    write(root / "r.jsonl", [{"product_id": "1", "other_id": "2", "relation": "similar"}])
    write(root / "j.jsonl", [{"query": "mug", "product_id": "1", "label": "E"}])
    names = {"products": "p.jsonl", "relations": "r.jsonl", "judgements": "j.jsonl"}
    rows, rejected = read(root, "products", **{name: {"file": file} for name, file in names.items()})
    assert rejected == []
    return rows


def test_tables_without_a_category_find_products_of_every_category(tmp_path: Path) -> None:
    products = [
        {"product_id": "1", "title": "Mug", "category": "Home"},
        {"product_id": "1", "title": "Mug", "category": "Garden"},
        {"product_id": "2", "title": "Tent", "category": "Outdoor"},
    ]
    rows = related_and_judged(tmp_path, products)
    found = sorted((row["catalogue"], row["category"], row["product_id"]) for row in rows)
    assert found == [
        ("amazon_2018", "Garden", "1"),
        ("amazon_2018", "Home", "1"),
        ("amazon_2018", "Outdoor", "2"),
        ("amazon_2018", "shop", "1"),
        ("amazon_2018", "shop", "2"),
        ("esci", "Garden", "1"),
        ("esci", "Outdoor", "2"),
    ]


def test_a_product_of_two_catalogues_is_found_once_where_catalogues_do_not_matter(tmp_path: Path) -> None:
    products = [{"product_id": "1", "title": f"{name} mug", "catalogue": name} for name in ("ours", "theirs")]
    rows = related_and_judged(tmp_path, products)
    assert sorted((row["catalogue"], row["title"]) for row in rows) == [
        ("amazon_2018", "ours mug"),
        ("esci", "ours mug"),
    ]


@pytest.mark.parametrize(("said", "split"), [("TEST", "test"), ("valid", "validation"), ("Dev", "validation")])
def test_splits_are_read_as_people_write_them(said: str, split: str, tmp_path: Path) -> None:
    write(tmp_path / "j.jsonl", [{"query": "cup", "product_id": "1", "label": "E", "split": said}])
    rows, _ = read(tmp_path, "judgements", judgements={"file": "j.jsonl"})
    assert [row["split"] for row in rows] == [split]


def test_each_task_that_cannot_be_built_says_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "r.csv", [{"stars": 5, "text": "good"}])
    write(tmp_path / "q.jsonl", [{"question": "Loud?", "snippets": ["no"], "answerable": False}])
    write(tmp_path / "p.csv", [{"product_id": "a", "title": "Mug"}])
    write(tmp_path / "m.csv", [{"left_id": "a", "right_id": "b"}])
    names = {"reviews": "r.csv", "questions": "q.jsonl", "products": "p.csv", "matches": "m.csv"}
    why = obstacles(tmp_path, sources(**{name: {"file": file} for name, file in names.items()}))
    assert set(TASKS) - why.keys() == {"SA", "AP"}
    assert why["PM"] == "there is no column products.catalogue"
    assert why["AG"] == "there is no column questions.answers"
    assert why["PRP"] == "there is no table relations"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"file": "none.csv"}, "There is no file"),
        ({"file": "empty.csv"}, "empty.csv is empty"),
        ({"file": "r.xlsx"}, "no known kind"),
        ({"file": "r.csv", "columns": {"stars": "points"}}, "r.csv has no column 'points'; it has stars, text"),
        ({"file": "r.csv", "columns": {"colour": "stars"}}, "there is no column 'colour'; known: stars, text"),
        ({"database": "none.sqlite", "table": "r"}, "There is no file"),
        ({"database": "shop.sqlite", "table": "r"}, "'r' of shop.sqlite cannot be read"),
        ({"database": "$NO_SUCH_SHOP", "table": "r"}, "The environment has no NO_SUCH_SHOP"),
        ({"database": "postgres://me:secret@host/shop", "table": "r"}, "A password does not belong in the config"),
    ],
)
def test_a_table_that_cannot_be_read_is_said_in_one_sentence(table: Row, said: str, tmp_path: Path) -> None:
    write(tmp_path / "r.csv", [{"stars": 5, "text": "good"}])
    (tmp_path / "empty.csv").touch()
    sqlite3.connect(tmp_path / "shop.sqlite").close()
    (tmp_path / "shop.sqlite").write_bytes(b"")
    with pytest.raises(EcellmError, match=re.escape(said)) as error:
        obstacles(tmp_path, sources(reviews=table))
    assert "secret" not in str(error.value)


def test_a_table_is_a_file_or_a_database_and_comes_from_one_source(tmp_path: Path) -> None:
    for table in ({}, {"file": "r.csv", "database": "x", "table": "r"}, {"database": "x"}):
        with pytest.raises(ValidationError, match="either a file, or a database and its table"):
            sources(reviews=table)
    write(tmp_path / "l.csv", [{"query": "q", "product_id": "a", "label": "X"}])
    with pytest.raises(EcellmError, match="label 'X'"):
        read(tmp_path, "judgements", judgements={"file": "l.csv"})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The tables of the worked example in docs/own-tables.md."""
    root = tmp_path / "shop"
    things = [
        f"{colour} {thing}" for colour in ("Red", "Blue", "Green", "Black") for thing in ("mug", "lamp", "tent")
    ]
    write(root / "catalogue.csv", [{"sku": f"s{n}", "name": t, "department": "Home"} for n, t in enumerate(things)])
    words = ["is truly awful and broke at once", "is poor", "is fair enough", "is good and solid", "is simply great"]
    reviews = [
        {"rating": n % 5 + 1, "comment": f"review {n}: this {things[n % 12]} of mine {words[n % 5]} I must say here"}
        for n in range(240)
    ]
    write(root / "reviews.jsonl", [{**row, "department": "Home"} for row in reviews])
    pairs = [
        (f"s{n}", f"s{m}", ("also_buy", "also_view", "similar")[(n + m) % 3], "Home")
        for n in range(12)
        for m in range(n)
    ]
    with sqlite3.connect(root / "shop.sqlite") as database:
        database.execute("create table pairs (product_id text, other_id text, relation text, category text)")
        database.executemany("insert into pairs values (?, ?, ?, ?)", pairs)
    database.close()
    return root


def test_the_worked_example_builds_what_its_tables_allow(shop: Path, tmp_path: Path, run: Run) -> None:
    page = (REPOSITORY / "docs" / "own-tables.md").read_text()
    (config,) = (one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "shop.sqlite" in one)
    (tmp_path / "shop.toml").write_text(config)
    code, _, error = run("build", "--sources", shop, "--config", tmp_path / "shop.toml", "--out", tmp_path / "data")
    assert code == 0, error
    for line in re.findall(r"^    (\w+ cannot be built: .*)$", page, re.MULTILINE):
        assert line in error
    counts = read_dataset(tmp_path / "data").manifest["counts"]
    assert counts["SA"]["train IND"] > 150 and counts["SA"]["test OOD"] == 0
    assert counts.keys() == {"SA", "PRP"}
    assert counts["PRP"]["train IND"] > 30


def test_asking_for_a_task_that_cannot_be_built_is_an_error(shop: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "shop.toml").write_text(
        '[sources.tables.products]\nfile = "catalogue.csv"\ncolumns = {product_id = "sku", title = "name"}'
    )
    arguments = ("build", "--sources", shop, "--config", tmp_path / "shop.toml", "--out", tmp_path / "data")
    assert run(*arguments, "--tasks", "PM")[::2] == (
        1,
        "\necellm: error: PM cannot be built: there is no table matches and no table pairs.\n",
    )
    code, _, error = run(*arguments)
    assert code == 1
    assert "names nothing to build" in error


def test_a_split_that_is_given_is_kept_and_an_unknown_one_refused(tmp_path: Path) -> None:
    rows = [
        {"query": f"cup {split}", "product_id": "1", "label": "E", "split": split}
        for split in ("train", "validation", "test")
    ]
    write(tmp_path / "j.jsonl", rows)
    found, _ = read(tmp_path, "judgements", judgements={"file": "j.jsonl"})
    assert {row["query"]: row["split"] for row in found} == {f"cup {row['split']}": row["split"] for row in rows}
    write(tmp_path / "j.jsonl", [{**rows[0], "split": "holdout"}])
    with pytest.raises(EcellmError, match="The table judgements has split 'holdout': it should be one of train"):
        read(tmp_path, "judgements", judgements={"file": "j.jsonl"})


def test_a_database_whose_table_lacks_a_column_is_said_before_it_is_copied(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as database:
        database.execute("CREATE TABLE reviews (rating INTEGER, comment TEXT)")
    given = {"database": "shop.sqlite", "table": "reviews", "columns": {"stars": "points"}}
    with pytest.raises(EcellmError, match="The table 'reviews' has no column 'points'; it has rating, comment"):
        obstacles(tmp_path, sources(reviews=given))
