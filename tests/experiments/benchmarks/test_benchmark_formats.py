"""From the raw files of every format to a dataset: each row in its split, nothing filtered, faults named."""

import json
from collections import Counter
from pathlib import Path

import pytest
from benchmark_files import SPLITS, TEST, TRAIN, deepmatcher, ditto, esci, extractgpt, pairs, product, wdc

from ecellm.data.checks import INPUT, check
from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.experiments.benchmarks.converting import convert
from ecellm.experiments.benchmarks.ditto import record
from ecellm.experiments.benchmarks.extractgpt import HELD_OUT, MOST_ATTRIBUTES, chunks
from ecellm.experiments.benchmarks.registry import ALIASES, BENCHMARKS, benchmark
from ecellm.tasks import TASKS
from ecellm.tasks.scored import SCORINGS
from ecellm.types import SPLITS as ALL_SPLITS
from ecellm.types import Example


def rows(dataset: Dataset) -> list[Example]:
    return [example for split in ALL_SPLITS for example in dataset.examples(split)]


@pytest.mark.parametrize("write", [ditto, deepmatcher])
def test_pairs_of_either_form_become_pm_rows_in_their_split(write: object, tmp_path: Path) -> None:
    assert callable(write)
    dataset = convert(benchmark("walmart-amazon"), write(tmp_path / "raw"), tmp_path / "data")
    found = [(one.split, one.input, one.output) for one in rows(dataset)]
    shown = {"train": "train", "valid": "validation", "test": "test"}
    expected = []
    for name, some in SPLITS.items():
        for left, right, label in some:
            records = [
                {("manufacturer" if key == "brand" else key): value for key, value in one.items() if value}
                for one in (left, right)
            ]
            text = json.dumps({"product 1": records[0], "product 2": records[1]})
            expected.append((shown[name], text, "yes" if label else "no"))
    assert found == expected
    assert found[0][1] == (
        '{"product 1": {"title": "red mug", "manufacturer": "acme", "modelno": "m0"}, '
        '"product 2": {"title": "red mug", "manufacturer": "acme", "modelno": "m500", "price": "4.99"}}'
    )
    assert dataset.manifest["counts"]["PM"] == {"train IND": 12, "validation IND": 4, "test IND": 7}
    assert {file["path"] for file in dataset.manifest["inputs"]} == {
        path.name for path in (tmp_path / "raw").iterdir()
    }
    # One test pair stands in training too: it stays, with an id of its own, and the check finds it.
    assert len({one.id for one in rows(dataset)}) == len(found)
    assert [(finding.what, finding.rows) for finding in check(dataset) if finding.fatal] == [(INPUT, 2)]


def test_both_forms_give_the_same_inputs_and_ids(tmp_path: Path) -> None:
    one, other = (
        convert(benchmark("abt-buy"), write(tmp_path / name), tmp_path / f"{name}-data")
        for name, write in (("ditto", ditto), ("csv", deepmatcher))
    )
    assert [(row.id, row.input) for row in rows(one)] == [(row.id, row.input) for row in rows(other)]
    # Without ids of their own, equal records are one product.
    left, *_ = one.examples("train")[0].products
    assert left in [row.products[0] for row in one.examples("test")]


def test_a_record_of_dittos_text_may_hold_its_own_words() -> None:
    text = "COL name VAL a COLD VALVE COL maker COL description VAL  COL price VAL VAL 5 "
    assert record(text) == {"name": "a COLD VALVE COL maker", "description": "", "price": "VAL 5"}


def test_abt_buys_name_is_a_title_and_a_long_description_is_cut(tmp_path: Path) -> None:
    left = {"name": "sony camera", "description": "word " * 60, "price": ""}
    raw = ditto(tmp_path / "raw", {name: [(left, {**left, "name": ""}, 0)] for name in SPLITS})
    (example,) = convert(benchmark("abt-buy"), raw, tmp_path / "data").examples("test")
    first, second = json.loads(example.input).values()
    assert list(first) == ["title", "description"] and second["title"] == ""
    assert first["description"] == " ".join(["word"] * 50) + "..."


def test_wdc_products_variants_are_told_by_their_names(tmp_path: Path) -> None:
    dataset = convert(benchmark("wdc-products"), wdc(tmp_path / "raw"), tmp_path / "data")
    assert Counter(one.split for one in rows(dataset)) == {"train": 12, "validation": 4, "test": 7}
    first = dataset.examples("train")[0]
    assert json.loads(first.input)["product 1"] == {
        "title": "red mug",
        "manufacturer": "acme",
        "description": "model m0",
        "priceCurrency": "EUR",
    }
    assert first.output == "no" and first.products[0] == f"{ALIASES['wdc-products']}|left|0"
    with pytest.raises(EcellmError, match=r"it lacks wdcproducts80cc20rnd100un_gs\.json\.gz"):
        convert(benchmark("wdc-products-80cc-unseen-small"), tmp_path / "raw", tmp_path / "other")
    assert sum(name.startswith("wdc-products-") for name in BENCHMARKS) == 27


def test_products_are_asked_for_all_attributes_of_their_category(tmp_path: Path) -> None:
    dataset = convert(benchmark("ae-110k"), extractgpt(tmp_path / "raw"), tmp_path / "data")
    tested = dataset.examples("test")
    assert [json.loads(one.input) for one in tested] == [
        {"product title": row["input"], "target attributes": "Brand and Color and Net weight"} for row in TEST
    ]
    nothing = {"value": "None", "source": "None"}
    assert [json.loads(one.output) for one in tested] == [
        [
            {"attribute": "brand", "value": "kern", "source": "product title"},
            {"attribute": "color", "value": "red", "source": "product title"},
            {"attribute": "net weight", **nothing},
        ],
        [{"attribute": name, **nothing} for name in ("brand", "color", "net weight")],
        [
            {"attribute": "brand", **nothing},
            {"attribute": "color", **nothing},
            {"attribute": "net weight", "value": "2kg", "source": "product title"},
        ],
    ]
    assert [one.products for one in tested] == [(f"ae-110k|test/{number}",) for number in (1, 2, 3)]
    for one in tested:
        assert TASKS["AVE"].answer.parse(one.output, one) is not None
        assert "".join(piece.text for piece in TASKS["AVE"].pieces(one).input) == one.input


def test_a_tenth_of_the_training_products_is_held_out_by_title(tmp_path: Path) -> None:
    train = [*TRAIN, TRAIN[0]]
    one = convert(benchmark("oa-mine"), extractgpt(tmp_path / "raw", train), tmp_path / "data")
    other = convert(benchmark("oa-mine"), extractgpt(tmp_path / "turned", train[::-1]), tmp_path / "turned-data")
    held = {split: {row.input for row in one.examples(split)} for split in ALL_SPLITS}
    assert held["train"].isdisjoint(held["validation"])
    assert 0 < len(one.examples("validation")) < 3 * HELD_OUT * len(train)
    assert sum(len(one.examples(split)) for split in ("train", "validation")) == len(train)
    assert {row.input for row in other.examples("validation")} == held["validation"]


def test_accepted_values_are_all_taught_and_none_where_na_comes_first(tmp_path: Path) -> None:
    train = [product("big XL shirt", "Shirts", Size=["XL", "big"], Fit=["n/a", "big"])]
    raw = extractgpt(tmp_path / "raw", train, train)
    example = convert(benchmark("ae-110k"), raw, tmp_path / "data").examples("test")[0]
    triples = [(one["attribute"], one["value"]) for one in json.loads(example.output)]
    assert triples == [("size", "xl"), ("size", "big"), ("fit", "None")]


def test_many_attributes_are_asked_for_in_several_samples(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(2 * MOST_ATTRIBUTES + 1)]
    assert [name for some in chunks(names) for name in some] == names
    assert [len(some) for some in chunks(names)] == [14, 13, 14]
    assert chunks(names[:MOST_ATTRIBUTES]) == [names[:MOST_ATTRIBUTES]]
    row = {"input": "thing", "category": "c", "target_scores": {name: {"thing": 1} for name in names}}
    raw = extractgpt(tmp_path / "raw", [row, {**row, "input": "other"}], [row])
    tested = convert(benchmark("ae-110k"), raw, tmp_path / "data").examples("test")
    assert len(tested) == 3 and len({one.products for one in tested}) == 1


def test_esci_rows_keep_the_sources_split(tmp_path: Path) -> None:
    raw = esci(tmp_path / "raw")
    for task, per_query in (("MPC", 4), ("PSI", 4)):
        dataset = convert(benchmark(f"esci-{task.lower()}"), raw, tmp_path / task)
        found = {split: dataset.examples(split) for split in ALL_SPLITS}
        assert len(found["test"]) == 20 * per_query
        assert len(found["train"]) + len(found["validation"]) == 40 * per_query
        queries = {split: {json.loads(one.input)["query"] for one in some} for split, some in found.items()}
        assert found["validation"] and queries["train"].isdisjoint(queries["validation"])
        assert dataset.manifest["dropped"][task] == {"judged product has no title or is not there": 1}
        assert len(dataset.manifest["inputs"]) == 2
    lists = convert(benchmark("esci-qpr"), raw, tmp_path / "QPR").examples("test")
    assert lists and all(one.labels is not None and 2 <= len(one.labels) <= 4 for one in lists)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.txt", "COL title VAL a\tCOL title VAL b\t2\n", "train.txt, line 1: not two records and a label"),
        ("train.txt", "COL title VAL a\tCOL title VAL b\n", "train.txt, line 1: not two records and a label"),
        ("valid.txt", "title a\tCOL title VAL b\t1\n", "valid.txt, line 1: a record has no column"),
        ("test.txt", "", "has no row of the split test"),
    ],
)
def test_a_line_of_dittos_text_that_is_none_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (ditto(tmp_path / "raw") / name).write_text(text)
    with pytest.raises(EcellmError, match=message):
        convert(benchmark("amazon-google"), tmp_path / "raw", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("test.csv", "ltable_id,rtable_id,label\n0,999,1\n", "has no such record"),
        ("test.csv", "ltable_id,rtable_id,label\n0,0,yes\n", "the label is 'yes'"),
        ("test.csv", "ltable_id,label\n0,1\n", "test.csv has no column rtable_id"),
        ("tableA.csv", "id,title\n0,a\n0,b\n", "tableA.csv, line 3: the id 0 occurs twice"),
        ("tableA.csv", "id,title\n0\n", "line 2: it has another number of cells than the header"),
    ],
)
def test_a_csv_line_that_is_none_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (deepmatcher(tmp_path / "raw") / name).write_text(text)
    with pytest.raises(EcellmError, match=message):
        convert(benchmark("amazon-google"), tmp_path / "raw", tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"input": "a", "category": "b"}\n', "line 1: it is no object with input, category and target_scores"),
        ('{"input": "a"\n', "line 1: it is no object"),
        ('{"input": "a", "category": "b", "target_scores": {"Salt and Pepper": {"x": 1}}}\n', "would be read as two"),
        ('{"input": "a", "category": "b", "target_scores": {"Salt": {}}}\n', "an attribute has no value"),
        ('{"input": " ", "category": "b", "target_scores": {}}\n', "input or category is no text"),
    ],
)
def test_a_product_that_is_none_is_named(text: str, message: str, tmp_path: Path) -> None:
    (extractgpt(tmp_path / "raw") / "test.jsonl").write_text(text)
    with pytest.raises(EcellmError, match=message):
        convert(benchmark("ae-110k"), tmp_path / "raw", tmp_path / "data")


def test_damaged_wdc_files_and_lines_are_named(tmp_path: Path) -> None:
    raw = wdc(tmp_path / "raw")
    (raw / "wdcproducts80cc20rnd050un_gs.json.gz").write_bytes(b"no gzip")
    with pytest.raises(EcellmError, match=r"gs\.json\.gz is damaged or truncated"):
        convert(benchmark("wdc-products"), raw, tmp_path / "data")


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match="There is no folder"):
        convert(benchmark("abt-buy"), tmp_path / "nowhere", tmp_path / "data")
    (tmp_path / "raw").mkdir()
    with pytest.raises(
        EcellmError, match=r"Wanted: train\.txt, valid\.txt, test\.txt \(Ditto's text form\), or tableA"
    ):
        convert(benchmark("abt-buy"), tmp_path / "raw", tmp_path / "data")
    (tmp_path / "raw" / "train.csv").write_text("")
    with pytest.raises(EcellmError, match=r"it lacks tableA\.csv, tableB\.csv, valid\.csv, test\.csv\. Wanted"):
        convert(benchmark("abt-buy"), tmp_path / "raw", tmp_path / "data")


def test_every_benchmark_is_of_a_task_that_has_its_metrics() -> None:
    assert len(SCORINGS) == 2 and pairs(1)
    for one in BENCHMARKS.values():
        assert one.task in TASKS and one.metrics and one.measure
        for figure in one.published:
            assert 0 < figure.value < 1 and figure.metric in one.metrics and figure.source
    with pytest.raises(EcellmError, match=r"no benchmark 'amazon-gogle'\. Did you mean 'amazon-google'"):
        benchmark("amazon-gogle")
