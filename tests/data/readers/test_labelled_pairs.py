"""Labelled pairs of a user's own: read by id or as whole records, drawn as they are, in the splits that they name."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_files import SPARK, opened

from ecellm.data.builder import build
from ecellm.data.checks import INPUT, check
from ecellm.data.config import BuildConfig, Sources, read_config
from ecellm.data.dataset import read_dataset
from ecellm.data.filters.selection import BEYOND, PRIORITY, Part, Rules, select
from ecellm.data.samplers import SAMPLERS, Draw, Plan
from ecellm.data.schema import SCHEMAS
from ecellm.data.sources import EngineChoice, Wanted, obstacles
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS
from ecellm.types import SPLITS, Example
from repository import REPOSITORY
from stores import store

Run = Callable[..., tuple[int, str, str]]
Row = dict[str, Any]
BOTH = pytest.mark.usefixtures("engine")
#: Python talks to Spark's Java through a socket of this machine.
ON_SPARK = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1", "localhost"])]
BENCHMARK = REPOSITORY.parent / "shared" / "data" / "benchmarks" / "amazon_google"
PAGE = (REPOSITORY / "docs" / "own-tables.md").read_text()


def write(root: Path, **tables: Sequence[Row]) -> dict[str, Row]:
    """Write tables as JSON lines and return what a config says of them."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {name: {"file": f"{name}.jsonl"} for name in tables}


def read(root: Path, **tables: Sequence[Row]) -> tuple[dict[str, list[Row]], list[Row]]:
    """Return the Store's rows of these tables, and the rows that were rejected."""
    given = Sources.model_validate({"tables": write(root, **tables)})
    with opened(root, given, Wanted(), set(SCHEMAS)) as (shop, bench):
        return {name: shop.rows(table) for name, table in shop.tables.items()}, bench.rejected()


def pair(number: int, split: str | None = None, label: Any = "no", **more: Any) -> Row:
    """A pair of whole records."""
    row = {"left_title": f"mug {number}", "right_title": f"the mug no. {number}", "label": label, **more}
    return row if split is None else {**row, "split": split}


# Reading


@BOTH
def test_labels_are_read_as_people_write_them_and_a_row_with_another_is_rejected(tmp_path: Path) -> None:
    said = ["yes", "No", True, False, 1.0, 0, " Y ", "n", "maybe", None, ""]
    tables, rejected = read(tmp_path, pairs=[pair(n, label=label) for n, label in enumerate(said)])
    titles = {row["product_id"]: row["title"] for row in tables["products"]}
    found = {titles[row["left_id"]]: row["label"] for row in tables["pairs"]}
    assert found == {f"mug {n}": "yes" if n % 2 == 0 else "no" for n in range(8)}
    assert [(row["line"], row["reason"]) for row in rejected] == [
        (9, "label has the wrong type"),
        (10, "label is missing"),
        (11, "label is missing"),
    ]
    assert {row["split"] for row in tables["pairs"]} == {None}


@BOTH
def test_equal_records_are_one_product_of_each_side(tmp_path: Path) -> None:
    mug = {"left_title": "mug", "left_brand": "acme", "left_price": 4.99, "left_description": "red"}
    rows = [
        {**mug, "right_title": "cup", "label": "yes"},
        {**mug, "right_title": "mug", "right_brand": "acme", "label": "no"},
        {**mug, "left_price": None, "right_title": "cup", "right_brand": "", "label": "no"},
        {"right_title": "cup", "label": "no"},
    ]
    tables, rejected = read(tmp_path, pairs=rows)
    shown = sorted(
        tuple(row[name] or "" for name in ("catalogue", "title", "brand", "price")) for row in tables["products"]
    )
    assert shown == [
        ("amazon", "mug", "acme", ""),
        ("amazon", "mug", "acme", "4.99"),
        ("google", "cup", "", ""),
        ("google", "mug", "acme", ""),
    ]
    assert {row["category"] for row in tables["products"]} == {"shop"}
    lefts, rights = ([row[f"{side}_id"] for row in tables["pairs"]] for side in ("left", "right"))
    assert (len(set(lefts)), len(set(rights)), len(lefts)) == (2, 2, 3)
    assert [(row["line"], row["reason"]) for row in rejected] == [(4, "left_title is missing")]


texts = st.text("a|1 \N{GRINNING FACE}", max_size=4)
records = st.fixed_dictionaries({"title": texts.filter(bool), "description": texts, "brand": texts, "price": texts})
numbers = count()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(records, records, st.booleans()), min_size=1, max_size=12))
def test_no_two_records_share_an_id_and_every_pair_is_found_again(
    rows: list[tuple[Row, Row, bool]], tmp_path: Path
) -> None:
    sides = [
        {f"left_{name}": text for name, text in left.items()}
        | {f"right_{name}": text for name, text in right.items()}
        | {"label": label}
        for left, right, label in rows
    ]
    tables, rejected = read(tmp_path / str(next(numbers)), pairs=sides)
    names = ("title", "description", "brand", "price")
    products = [(row["catalogue"], row["product_id"]) for row in tables["products"]]
    assert len(set(products)) == len(products) and not rejected
    told = {
        (row["catalogue"], row["product_id"]): tuple(row[name] or "" for name in names) for row in tables["products"]
    }
    found = Counter(
        (told["amazon", row["left_id"]], told["google", row["right_id"]], row["label"]) for row in tables["pairs"]
    )
    assert found == Counter(
        (*(tuple(side[name] for name in names) for side in (left, right)), "yes" if label else "no")
        for left, right, label in rows
    )


@BOTH
def test_pairs_by_id_say_which_products_are_left_and_right(tmp_path: Path) -> None:
    products = [{"product_id": name, "title": f"thing {name}"} for name in "abcd"]
    pairs = [{"left_id": "a", "right_id": "b", "label": "no"}, {"left_id": "b", "right_id": "c", "label": "yes"}]
    tables, _ = read(tmp_path, products=products, pairs=pairs)
    shown = sorted((row["catalogue"], row["product_id"]) for row in tables["products"])
    assert shown == [("amazon", "a"), ("amazon", "b"), ("google", "b"), ("google", "c")]
    assert sorted((row["left_id"], row["right_id"], row["label"]) for row in tables["pairs"]) == [
        ("a", "b", "no"),
        ("b", "c", "yes"),
    ]


@BOTH
def test_where_a_table_has_ids_and_titles_the_ids_count_if_there_are_products(tmp_path: Path) -> None:
    both = {**pair(1), "left_id": "a", "right_id": "b"}
    products = [{"product_id": name, "title": f"thing {name}"} for name in "ab"]
    tables, _ = read(tmp_path / "by_id", pairs=[both], products=products)
    assert {row["title"] for row in tables["products"]} == {"thing a", "thing b"}
    tables, _ = read(tmp_path / "whole", pairs=[both])
    assert {row["title"] for row in tables["products"]} == {"mug 1", "the mug no. 1"}
    assert tables["pairs"][0]["left_id"] not in ("a", "b")


def test_whole_records_and_products_by_id_stand_beside_each_other(tmp_path: Path) -> None:
    products = [{"product_id": name, "title": f"thing {name}"} for name in "ab"]
    relation = {"product_id": "a", "other_id": "b", "relation": "similar"}
    tables, _ = read(tmp_path, products=products, relations=[relation], pairs=[pair(1)])
    assert sorted((row["catalogue"], row["title"]) for row in tables["products"]) == [
        ("amazon", "mug 1"),
        ("amazon_2018", "thing a"),
        ("amazon_2018", "thing b"),
        ("google", "the mug no. 1"),
    ]


@BOTH
def test_relations_and_judgements_may_show_titles(tmp_path: Path) -> None:
    relations = [
        {"title": "mug", "other_title": "cup", "relation": "similar", "category": "Home", "split": "dev"},
        {"title": "cup", "other_title": "mug", "relation": "also_buy", "category": "Garden", "split": "test"},
        {"title": "cup", "relation": "also_buy", "category": "Home", "split": "train"},
    ]
    judgements = [{"query": "mugs", "title": "mug", "label": "E"}, {"query": "mugs", "title": "tent", "label": "I"}]
    tables, rejected = read(tmp_path, relations=relations, judgements=judgements)
    shown = sorted((row["catalogue"], row["category"], row["title"]) for row in tables["products"])
    assert shown == [
        ("amazon_2018", "Garden", "cup"),
        ("amazon_2018", "Garden", "mug"),
        ("amazon_2018", "Home", "cup"),
        ("amazon_2018", "Home", "mug"),
        ("esci", "shop", "mug"),
        ("esci", "shop", "tent"),
    ]
    titles = {row["product_id"]: row["title"] for row in tables["products"]}
    found = {
        (titles[row["product_id"]], titles[row["other_id"]], row["category"], row["split"])
        for row in tables["relations"]
    }
    assert found == {("mug", "cup", "Home", "validation"), ("cup", "mug", "Garden", "test")}
    assert {titles[row["product_id"]] for row in tables["judgements"]} == {"mug", "tent"}
    assert [row["reason"] for row in rejected] == ["other_title is missing"]


@BOTH
def test_a_row_without_a_split_falls_by_hash_where_its_table_has_splits(tmp_path: Path) -> None:
    numbers = range(200)
    pairs = [pair(n) for n in numbers]
    relations = [{"title": f"mug {n}", "other_title": "cup", "relation": "similar"} for n in numbers]
    relations += [{"title": "cup", "other_title": f"mug {n}", "relation": "similar"} for n in numbers]
    judgements = [{"query": f"mug {n}", "title": title, "label": "E"} for n in numbers for title in ("a", "b")]
    rows = {"pairs": pairs, "relations": relations, "judgements": judgements}
    bare, _ = read(tmp_path / "bare", **rows)
    assert [{row["split"] for row in bare[name]} for name in ("pairs", "relations")] == [{None}, {None}]
    assert {row["split"] for row in bare["judgements"]} == {"train", "test"}  # the tasks halve the latter
    split = {name: [{**row, "split": None} for row in some] for name, some in rows.items()}
    split = {name: [*some, {**some[0], "split": "val"}] for name, some in split.items()}
    tables, _ = read(tmp_path / "split", **split)
    again, _ = read(tmp_path / "again", **{name: some[::-1] for name, some in split.items()})
    for name, whole in rows.items():
        counts = Counter(row["split"] for row in tables[name])
        assert counts.keys() == set(SPLITS) and sum(counts.values()) == len(whole) + 1
        assert 0.7 < counts["train"] / len(whole) < 0.9
        columns = SCHEMAS[name].names
        assert Counter(tuple(row[c] for c in columns) for row in tables[name]) == Counter(
            tuple(row[c] for c in columns) for row in again[name]
        )
    by_query: dict[str, set[str]] = {}
    for row in tables["judgements"]:
        by_query.setdefault(row["query"], set()).add(row["split"])
    assert max(len(splits) for query, splits in by_query.items() if query != "mug 0") == 1
    ways: dict[frozenset[str], set[str]] = {}
    titles = {row["product_id"]: row["title"] for row in tables["products"]}
    for row in tables["relations"]:
        ways.setdefault(frozenset((titles[row["product_id"]], titles[row["other_id"]])), set()).add(row["split"])
    assert max(len(splits) for names, splits in ways.items() if "mug 0" not in names) == 1


@pytest.mark.parametrize(
    ("tables", "task", "said"),
    [
        ({"products": ["product_id", "title"]}, "PM", "there is no table matches and no table pairs"),
        ({"pairs": ["left_title", "right_title", "label"]}, "PM", None),
        ({"pairs": ["left_id", "right_id", "label"]}, "PM", "there is no table products"),
        ({"pairs": ["left_id", "right_id", "label"], "products": ["product_id", "title"]}, "PM", None),
        (
            {"pairs": ["left_id", "right_id", "label"], "products": ["title"]},
            "PM",
            "there is no column products.product_id",
        ),
        ({"pairs": ["left_title", "right_title"]}, "PM", "there is no column pairs.label"),
        ({"pairs": ["left_title", "label"]}, "PM", "there is no column pairs.right_title"),
        (
            {"pairs": ["label"], "products": ["product_id", "title"]},
            "PM",
            "there is no column pairs.left_id (or left_title) and no column pairs.right_id (or right_title)",
        ),
        ({"relations": ["title", "other_title", "relation"]}, "PRP", None),
        ({"relations": ["title", "other_id", "relation"]}, "PRP", "there is no column relations.other_title"),
        ({"relations": ["product_id", "other_id", "relation"]}, "PRP", "there is no table products"),
        ({"judgements": ["query", "title", "label"]}, "QPR", None),
        ({"judgements": ["query", "label"]}, "MPC", "there is no column judgements.product_id (or title)"),
        (
            {"pairs": ["Left_Title", "label"]},
            "PM",
            "there is no column pairs.left_id (or left_title) and no column pairs.right_id (or right_title)",
        ),
    ],
)
def test_what_pairs_lack_is_said(tables: dict[str, list[str]], task: str, said: str | None, tmp_path: Path) -> None:
    given = write(tmp_path, **{name: [dict.fromkeys(columns, "1")] for name, columns in tables.items()})
    why = obstacles(tmp_path, Sources.model_validate({"tables": given}))
    assert why.get(task) == said


# Drawing PM

PLENTY: Any = {(split, "IND"): 1000 for split in SPLITS}
PRODUCTS = [
    {"catalogue": catalogue, "product_id": f"{catalogue[0]}{n}", "title": f"{catalogue} mug {n}"}
    for catalogue in ("amazon", "google")
    for n in range(60)
]


def labelled(left: Any, right: Any, label: str = "no", split: str | None = None) -> Row:
    return {"left_id": f"a{left}", "right_id": f"g{right}", "label": label, "split": split}


def drawn(pairs: list[Row], given: bool, quotas: Any = PLENTY, products: list[Row] = PRODUCTS) -> Draw:
    return SAMPLERS["PM"].draw(store(products=products, pairs=pairs), Plan(1, quotas, given_split=given))


def told(examples: list[Example]) -> list[tuple[str, ...]]:
    """Each sample's records, label and split."""
    return sorted((*(name.split("|")[1] for name in one.products), one.output, one.split) for one in examples)


def test_pm_takes_labelled_pairs_as_they_are_in_the_split_that_they_name() -> None:
    pairs = [labelled(n, n // 2, ("yes", "no")[n % 2], SPLITS[n % 3]) for n in range(12)]
    pairs += [pairs[0], {**pairs[1], "label": "yes"}, {**pairs[2], "split": "train"}]
    found = drawn(pairs, given=True)
    assert told(found.examples) == sorted(
        (row["left_id"], row["right_id"], row["label"], row["split"]) for row in pairs
    )
    assert not found.dropped


def test_pairs_that_name_no_split_are_divided_80_10_10_to_the_row() -> None:
    pairs = [labelled(n, n) for n in range(50)]
    assert Counter(one.split for one in drawn(pairs, given=False).examples) == {
        "train": 40,
        "validation": 5,
        "test": 5,
    }
    named = [labelled(n, n, split="test") for n in range(50, 60)]
    found = drawn(pairs + named, given=True).examples
    assert Counter(one.split for one in found) == {"train": 40, "validation": 5, "test": 15}
    assert {one[:2] for one in told(found) if one[3] == "test"} > {(f"a{n}", f"g{n}") for n in range(50, 60)}


def test_a_pair_whose_product_is_not_there_or_not_clear_is_counted() -> None:
    products = [
        *PRODUCTS,
        PRODUCTS[2],
        {**PRODUCTS[1], "title": "another"},
        {**PRODUCTS[3], "product_id": "a90", "title": None},
    ]
    pairs = [labelled(0, 0), labelled(0, 77), labelled(90, 0), labelled(1, 0), labelled(1, 77), labelled(2, 2)]
    pairs.append(labelled(0, 77))
    found = drawn([{**row, "split": "test"} for row in pairs], given=True, products=products)
    assert [one[:2] for one in told(found.examples)] == [("a0", "g0"), ("a2", "g2")]
    assert found.dropped == {
        "pair names a product that is not there": 4,
        "pair names a product that has several records": 1,
    }


def test_repeats_are_counted_where_no_split_is_given() -> None:
    twin = {"catalogue": "amazon", "product_id": "a99", "title": "amazon mug 0"}
    pairs = [
        labelled(0, 0, "yes"),
        labelled(0, 0, "yes"),
        labelled(99, 0, "yes"),
        labelled(0, 0, "no"),
        labelled(1, 0),
    ]
    found = drawn(pairs, given=False, products=[*PRODUCTS, twin])
    assert [one[:3] for one in told(found.examples)] == [("a0", "g0", "no"), ("a0", "g0", "yes"), ("a1", "g0", "no")]
    assert found.dropped == {"pair repeats another": 2}


@given(order=st.permutations(range(40)), quota=st.integers(0, 12))
@settings(max_examples=20)
def test_no_more_are_drawn_than_are_needed_and_the_order_of_the_rows_does_not_matter(
    order: list[int], quota: int
) -> None:
    pairs = [labelled(n % 7, n % 5, ("yes", "no")[n % 2], SPLITS[n % 2]) for n in range(40)]
    quotas: Any = {("train", "IND"): quota, ("validation", "IND"): 3, ("test", "IND"): 5}
    plan = Plan(1, quotas)
    found = drawn(pairs, given=True, quotas=quotas)
    counts = Counter(one.split for one in found.examples)
    assert counts["train"] == min(plan.enough("train", "IND"), 20) and counts["test"] == 0
    assert found.examples == drawn([pairs[place] for place in order], given=True, quotas=quotas).examples


# Selecting


def any_sample(part: Part, text: str, output: str) -> Example:
    split, domain = part
    return Example("PM", "PM", domain, split, text, None, output, facts=(f"fact|{text}",), products=("p",))


examples = st.lists(
    st.builds(any_sample, st.sampled_from(PRIORITY), st.sampled_from("abcd"), st.sampled_from(["yes", "no"]))
)
quotas = st.fixed_dictionaries({part: st.integers(0, 10) for part in PRIORITY})


@given(rows=examples, asked=quotas)
def test_rows_taken_as_given_all_stay_up_to_the_quotas_with_ids_of_their_own(
    rows: list[Example], asked: dict[Part, int]
) -> None:
    chosen = select({"PM": rows}, {"PM": asked}, {"PM": Rules(as_given=True, near_apart=True)})
    ids: list[str] = []
    for part in PRIORITY:
        there = [one for one in rows if (one.split, one.domain) == part]
        kept = chosen.examples["PM"][part]
        assert [replace(one, id="PM") for one in kept] == there[: asked[part]]
        ids += [one.id for one in kept]
    assert len(set(ids)) == len(ids)
    assert chosen.dropped["PM"] == Counter({BEYOND: len(rows) - len(ids)}) and not chosen.lost["PM"]


def test_an_input_that_stands_once_has_the_id_that_it_has_anywhere() -> None:
    rows = [any_sample(("train", "IND"), "a", "yes")]
    plenty = dict.fromkeys(PRIORITY, 9)
    as_given = select({"PM": rows}, {"PM": plenty}, {"PM": Rules(as_given=True)}).examples["PM"]["train", "IND"]
    both = [*rows, any_sample(("test", "IND"), "a", "no")]
    twice = select({"PM": both}, {"PM": plenty}, {"PM": Rules(as_given=True)}).examples["PM"]
    assert as_given[0].id == twice["test", "IND"][0].id != twice["train", "IND"][0].id


# Building


def built(
    root: Path, names: str, config: dict[str, Any] | None = None, engine: EngineChoice | None = None, **tables: Any
) -> Row:
    """Build tasks of these tables into root/data and return the manifest."""
    sources = {"tables": write(root / "shop", **tables)}
    given = BuildConfig.model_validate({"sources": sources, "tasks": config or {}})
    tasks = [TASKS[name] for name in names.split(",")]
    return build(root / "shop", given, root / "data", tasks, None, lambda step: None, engine, root / "dropped")


def rows_of(root: Path) -> list[Example]:
    dataset = read_dataset(root / "data")
    return [one for split in SPLITS for one in dataset.examples(split, "IND")]


def balanced(manifest: Row, task: str) -> bool:
    """Say whether all rows that were asked for are there or were counted as left out."""
    asked, there = (sum(manifest[name][task].values()) for name in ("quotas", "counts"))
    return asked == there + sum(manifest["dropped"][task].values()) and manifest["spare"][task] == 0


MESSY = [
    *(pair(n, SPLITS[n % 3], "yes" if n % 4 == 0 else "no") for n in range(30)),
    pair(0, "train", "yes"),
    pair(0, "test", "yes"),
    pair(3, "train", "yes"),
    pair(1, "val", "no"),
]


@pytest.mark.parametrize("engine_name", ["duckdb", pytest.param("spark", marks=ON_SPARK)])
def test_a_dataset_of_labelled_pairs_has_every_row_in_its_split(engine_name: str, tmp_path: Path) -> None:
    manifest = built(
        tmp_path, "PM", engine=SPARK if engine_name == "spark" else None, pairs=[*MESSY, pair(1, "test", "?")]
    )
    there = {"train IND": 12, "validation IND": 11, "test IND": 11}
    assert manifest["counts"]["PM"] == manifest["quotas"]["PM"] == there
    assert manifest["dropped"]["PM"] == {} and manifest["spare"]["PM"] == 0 and balanced(manifest, "PM")
    assert manifest["rejected"] == {"pairs.jsonl": {"label has the wrong type": 1}}
    examples = rows_of(tmp_path)
    found = Counter((json.loads(one.input)["product 1"]["title"], one.output, one.split) for one in examples)
    splits = {"val": "validation"}
    assert found == Counter(
        (row["left_title"], row["label"], splits.get(row["split"], row["split"])) for row in MESSY
    )
    assert len({one.id for one in examples}) == len(examples)
    crossing = next(found for found in check(read_dataset(tmp_path / "data")) if found.what == INPUT)
    # Mug 0 stands in training and in testing, three rows of it; mug 1 in validation alone, mug 3 in training.
    assert (crossing.rows, crossing.of, crossing.fatal) == (3, len(MESSY), True)
    assert not list((tmp_path / "dropped").rglob("*.parquet"))


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
def test_both_engines_write_the_same_dataset_of_labelled_rows(tmp_path: Path) -> None:
    relations = [
        {"title": f"mug {n % 9}", "other_title": f"pot {n % 4}", "relation": "similar", "split": SPLITS[n % 3]}
        for n in range(40)
    ]
    judgements = [
        {"query": f"mug {n % 5}", "title": f"mug {n % 8}", "label": "ESCI"[n % 4], "split": [None, *SPLITS][n % 4]}
        for n in range(40)
    ]
    for name, engine in (("duckdb", None), ("spark", SPARK)):
        built(
            tmp_path / name,
            "PM,PRP,MPC,PSI,QPR",
            None,
            engine,
            pairs=MESSY,
            relations=relations,
            judgements=judgements,
        )
    for split in SPLITS:
        one, other = ((tmp_path / name / "data" / f"{split}.parquet").read_bytes() for name in ("duckdb", "spark"))
        assert one == other


def test_a_quota_that_the_config_names_holds_and_the_others_are_all_rows(tmp_path: Path) -> None:
    manifest = built(tmp_path, "PM", {"PM": {"train": 4}}, pairs=MESSY)
    assert manifest["quotas"]["PM"] == {"train IND": 4, "validation IND": 11, "test IND": 11}
    assert manifest["counts"]["PM"] == manifest["quotas"]["PM"]
    assert manifest["drawn"]["PM"] == manifest["spare"]["PM"] + 26 == 34


def test_more_rows_than_the_papers_quotas_are_all_drawn(tmp_path: Path) -> None:
    manifest = built(tmp_path, "PM", pairs=[pair(n, "test") for n in range(1_200)])
    assert manifest["counts"]["PM"] == {"train IND": 0, "validation IND": 0, "test IND": 1_200}


def test_pairs_without_a_split_are_divided_and_stand_once(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "split"} for row in MESSY]
    manifest = built(tmp_path, "PM", pairs=rows)
    # Mug 3 has both labels; mug 0 stands there thrice, mug 1 twice.
    assert manifest["dropped"]["PM"]["pair repeats another"] == 3
    assert manifest["dropped"]["PM"]["equal inputs have different answers"] == 2
    assert sum(manifest["counts"]["PM"].values()) == 29
    assert manifest["quotas"]["PM"]["train IND"] == 10_000
    assert not [found for found in check(read_dataset(tmp_path / "data")) if found.fatal]


def test_pairs_that_name_unknown_products_are_counted_and_written_down(tmp_path: Path) -> None:
    products = [{"product_id": name, "title": f"thing {name}"} for name in "abc"]
    ids = [("a", "b"), ("a", "c"), ("a", "nowhere"), ("b", "c")]
    pairs = [{"left_id": left, "right_id": right, "label": "no", "split": "test"} for left, right in ids]
    manifest = built(tmp_path, "PM", products=products, pairs=pairs)
    assert manifest["dropped"]["PM"] == {"pair names a product that is not there": 1}
    assert manifest["counts"]["PM"]["test IND"] == 3 and manifest["quotas"]["PM"]["test IND"] == 4
    assert balanced(manifest, "PM")
    assert [path.stem for path in (tmp_path / "dropped" / "PM").iterdir()] == [
        "pair-names-a-product-that-is-not-there"
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[tasks.PM]\nnegatives = "near"', r"tasks\.PM\.negatives: PM draws none where sources\.tables\.pairs"),
        ('[sources]\namazon_google = "ag"', r"sources: tables\.pairs and amazon_google both say what PM is made of"),
        ('[sources.tables.matches]\nfile = "m.csv"', r"sources: tables\.pairs and tables\.matches both say what PM"),
    ],
)
def test_what_makes_no_sense_with_labelled_pairs_is_refused(more: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'{more}\n[sources.tables.pairs]\nfile = "pairs.csv"\n')
    with pytest.raises(EcellmError, match=said):
        read_config(tmp_path / "c.toml")


def test_what_would_move_or_remove_rows_of_a_given_split_is_refused(tmp_path: Path) -> None:
    relation = {"title": "mug", "other_title": "cup", "relation": "similar", "split": "test", "category": "Home"}
    for task, key, value in (("PM", "near_duplicates", False), ("PRP", "out_of_domain", ["Home"])):
        said = rf"tasks\.{task}\.{key}: the rows of sources\.tables\.\w+ say their split and are kept as they are"
        with pytest.raises(EcellmError, match=said):
            built(tmp_path, task, {task: {key: value}}, pairs=MESSY, relations=[relation])
        assert not (tmp_path / "data").exists()
    without = [{name: value for name, value in row.items() if name != "split"} for row in MESSY]
    assert built(tmp_path, "PM", {"PM": {"near_duplicates": False}}, pairs=without)["counts"]["PM"]["train IND"]


def test_labelled_relations_are_prp_rows_as_they_are(tmp_path: Path) -> None:
    letters = {"also_buy": "A", "also_view": "B", "similar": "C"}
    rows = [
        {"title": f"mug {n}", "other_title": f"pot {n}", "relation": list(letters)[n % 3], "split": SPLITS[n % 3]}
        for n in range(12)
    ]
    rows += [rows[0], {**rows[1], "relation": "similar"}, {**rows[2], "split": "train"}]
    odd = [{**rows[0], "other_title": "<img src='x'"}, {**rows[0], "other_title": "mug 0"}]
    manifest = built(tmp_path, "PRP", relations=[*rows, *odd])
    found = Counter((*json.loads(one.input).values(), one.output, one.split) for one in rows_of(tmp_path))
    assert found == Counter(
        (row["title"], row["other_title"], letters[row["relation"]], row["split"]) for row in rows
    )
    assert manifest["counts"]["PRP"] == {"train IND": 6, "validation IND": 5, "test IND": 4, "test OOD": 0}
    assert sum(manifest["dropped"]["PRP"].values()) == 2 and balanced(manifest, "PRP")


def test_of_labelled_relations_the_categories_that_are_named_are_drawn(tmp_path: Path) -> None:
    rows = [
        {
            "title": f"mug {n}",
            "other_title": f"pot {n}",
            "relation": "similar",
            "split": SPLITS[n % 3],
            "category": where,
        }
        for where in ("Home", "Garden")
        for n in range(6)
    ]
    manifest = built(tmp_path, "PRP", {"PRP": {"in_domain": ["Home"]}}, relations=rows)
    expected = {"train IND": 2, "validation IND": 2, "test IND": 2, "test OOD": 0}
    assert manifest["counts"]["PRP"] == manifest["quotas"]["PRP"] == expected
    assert {one.category for one in rows_of(tmp_path)} == {"Home"}


def test_labelled_judgements_stay_in_their_split_for_all_three_tasks(tmp_path: Path) -> None:
    rows = [
        {
            "query": f"mug {n}",
            "title": f"{label} mug {n}",
            "label": label,
            "split": SPLITS[(n + place) % 3 if n < 3 else n % 3],
        }
        for n in range(9)
        for place, label in enumerate("ESCI")
    ]
    rows += [rows[0], {**rows[1], "label": "I"}]
    manifest = built(
        tmp_path, "MPC,PSI,QPR", judgements=[*rows, {**rows[0], "title": "\N{CJK UNIFIED IDEOGRAPH-6771}"}]
    )
    expected = Counter((row["query"], row["title"], row["label"], row["split"]) for row in rows)
    examples = rows_of(tmp_path)
    letters = dict(zip("ABCD", "ESCI", strict=True))
    multiclass = [one for one in examples if one.task == "MPC"]
    assert expected == Counter(
        (*json.loads(one.input).values(), letters[one.output[0]], one.split) for one in multiclass
    )
    substitutes = Counter(
        (*json.loads(one.input).values(), one.output, one.split) for one in examples if one.task == "PSI"
    )
    assert substitutes == Counter(
        (row["query"], row["title"], "yes" if row["label"] == "S" else "no", row["split"]) for row in rows
    )
    assert balanced(manifest, "MPC") and balanced(manifest, "PSI")
    lists = [one for one in examples if one.task == "QPR"]
    assert lists
    for one in lists:
        asked = json.loads(one.input)
        for title, label in zip(asked["product list"], one.labels or (), strict=True):
            assert expected[asked["query"], title.partition(": ")[2], label, one.split] > 0
    assert len({one.id for one in examples}) == len(examples)


# The worked example


@pytest.fixture
def example(tmp_path: Path) -> Callable[[Path, Run], tuple[Path, str]]:
    """Convert a folder by the page's script and build by the page's config; returns the dataset and what was said."""
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (config,) = (one for one in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "left_manufacturer" in one)
    (tmp_path / "convert.py").write_text(script)
    (tmp_path / "pairs.toml").write_text(config)
    (tmp_path / "tables").mkdir()

    def make(folder: Path, run: Run) -> tuple[Path, str]:
        line = [sys.executable, tmp_path / "convert.py", folder, tmp_path / "tables" / "pairs.csv"]
        subprocess.run(line, check=True, cwd=tmp_path)
        (command,) = re.findall(r"^    ecellm (build --sources tables .*)$", PAGE, re.MULTILINE)
        places = {"tables": tmp_path / "tables", "pairs.toml": tmp_path / "pairs.toml", "DATASET": tmp_path / "data"}
        code, _, error = run(*(places.get(word, word) for word in command.split()))
        assert code == 0, error
        return tmp_path / "data", error

    return make


def test_the_pages_script_and_config_build_a_benchmark_in_its_text_form(
    example: Callable[[Path, Run], tuple[Path, str]], tmp_path: Path, run: Run
) -> None:
    def record(title: str, maker: str = "", price: str = "") -> str:
        return f"COL title VAL {title} COL manufacturer VAL {maker} COL price VAL {price} "

    mug, cup = record('the "best", red mug', "acme", "4.99"), record("cup \N{LATIN SMALL LETTER E WITH ACUTE}")
    lines = {
        "train": [(mug, cup, 1), (cup, mug, 0), (cup, mug, 0)],
        "valid": [(mug, record("a COLD VALVE", "Valco"), 0)],
        "test": [(mug, cup, 1), (record("pot", price="1"), cup, 0)],
    }
    folder = tmp_path / "benchmark"
    folder.mkdir()
    for name, rows in lines.items():
        text = "".join(f"{left}\t{right}\t{label}\n" for left, right, label in rows)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    data, _ = example(folder, run)
    with (tmp_path / "tables" / "pairs.csv").open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["left_title"], first["right_manufacturer"], first["right_price"]) == ('the "best", red mug', "", "")
    manifest = read_dataset(data).manifest
    assert manifest["counts"]["PM"] == {"train IND": 3, "validation IND": 1, "test IND": 2}
    (shown,) = (one for one in read_dataset(data).examples("validation", "IND"))
    assert json.loads(shown.input)["product 2"]["title"] == "a COLD VALVE"
    assert json.loads(shown.input)["product 1"]["manufacturer"] == "acme"
    code, _, error = run("check", data)
    assert code == 1 and "PM: exact input stands in two splits (2)" in error


@pytest.mark.skipif(not BENCHMARK.is_dir(), reason="the benchmark is not here")
def test_the_amazon_google_benchmark_is_built_as_it_was_published(
    example: Callable[[Path, Run], tuple[Path, str]], run: Run
) -> None:
    data, _ = example(BENCHMARK, run)
    manifest = read_dataset(data).manifest
    assert manifest["counts"]["PM"] == {"train IND": 6_874, "validation IND": 2_293, "test IND": 2_293}
    assert manifest["quotas"]["PM"] == manifest["counts"]["PM"]
    assert manifest["dropped"]["PM"] == {} and manifest["rejected"] == {} and manifest["spare"]["PM"] == 0
    dataset = read_dataset(data)
    yes = [sum(one.output == "yes" for one in dataset.examples(split, "IND")) for split in SPLITS]
    assert yes == [699, 234, 234]
    examples = [one for split in SPLITS for one in dataset.examples(split, "IND")]
    assert len({one.id for one in examples}) == len(examples) == 11_460
    splits: dict[str, set[str]] = {}
    for one in examples:
        splits.setdefault(one.input, set()).add(one.split)
    crossing = [one for one in examples if len(splits[one.input]) > 1]
    # What the page says of it.
    inputs, tested = len({one.input for one in crossing}), sum(one.split == "test" for one in crossing)
    assert (len(crossing), inputs, tested) == (575, 212, 159)
    (said,) = re.findall(r"with (\d+) rows whose input is in two splits \((\d+) inputs; (\d+) of the rows", PAGE)
    assert said == ("575", "212", "159")
    code, _, error = run("check", data)
    assert code == 1 and "PM: exact input stands in two splits (575)" in error
