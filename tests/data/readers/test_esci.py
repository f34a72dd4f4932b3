"""ESCI: judgements and products of the US locale from two Parquet files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import judged_product, judgement, read, write_esci

from ecellm.data.config import Sources
from ecellm.errors import EcellmError

pytestmark = pytest.mark.usefixtures("engine")

ESCI = Sources(esci="shopping_queries_dataset")


def test_judgements_and_products(tmp_path: Path) -> None:
    write_esci(tmp_path, [judgement(1, esci_label="S", small_version=0, split="test")], [judged_product(1)])
    found = read(tmp_path, ESCI)
    assert found["judgements"] == [
        {"query": "wooden comb", "product_id": "P1", "label": "S", "small": False, "split": "test"}
    ]
    assert found["products"] == [
        {
            "catalogue": "esci",
            "category": "",
            "product_id": "P1",
            "title": "Comb 1",
            "description": "<p>A comb</p>",
            "feature": "light",
            "brand": "Woody",
            "price": None,
            "categories": [],
            "fields": [],
            "shown": None,
        }
    ]


def test_other_locales_are_left_out_and_are_no_rejects(tmp_path: Path) -> None:
    write_esci(
        tmp_path,
        [judgement(1), judgement(1, product_locale="es"), judgement(2, product_locale="jp")],
        [judged_product(1), judged_product(1, product_locale="es", product_title="Peine")],
    )
    found = read(tmp_path, ESCI)
    assert len(found["judgements"]) == 1
    assert [row["title"] for row in found["products"]] == ["Comb 1"]
    assert found.rejects == []


def test_bad_judgements_and_products_are_set_aside(tmp_path: Path) -> None:
    examples = [
        judgement(1),
        judgement(2, query=None),
        judgement(3, query=" "),
        judgement(4, product_id=None),
        judgement(5, esci_label="X"),
        judgement(6, esci_label=None),
        judgement(7, split="dev"),
        judgement(8, small_version=None),
    ]
    write_esci(tmp_path, examples, [judged_product(1), judged_product(2, product_id=None)])
    found = read(tmp_path, ESCI)
    assert len(found["judgements"]) == len(found["products"]) == 1
    assert found.reasons() == {
        ("shopping_queries_dataset_examples.parquet", "query is missing"): 2,
        ("shopping_queries_dataset_examples.parquet", "product is missing"): 1,
        ("shopping_queries_dataset_examples.parquet", "label is not E, S, C or I"): 2,
        ("shopping_queries_dataset_examples.parquet", "split is not train or test"): 1,
        ("shopping_queries_dataset_examples.parquet", "small_version is missing"): 1,
        ("shopping_queries_dataset_products.parquet", "product is missing"): 1,
    }
    assert all(row["excerpt"].startswith('{"') for row in found.rejects)


def test_a_product_that_stands_twice_is_kept_once_whatever_the_order(tmp_path: Path) -> None:
    twice = [judged_product(1, product_title=f"Comb {number}", product_brand=None) for number in range(6)]
    kept = []
    for order in (twice, twice[::-1], twice[2:] + twice[:2]):
        write_esci(tmp_path, [judgement(1)], order)
        found = read(tmp_path, ESCI)
        kept.append(found.product("P1")["title"])
        assert found.reasons() == {("shopping_queries_dataset_products.parquet", "product stands there already"): 5}
    assert len(set(kept)) == 1


def test_the_files_may_have_more_columns_in_any_order_and_many_row_groups(tmp_path: Path) -> None:
    folder = write_esci(tmp_path, [judgement(1)], [judged_product(1)])
    rows = [dict(reversed([*judgement(number).items(), ("more", "x")])) for number in range(100)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "shopping_queries_dataset_examples.parquet", row_group_size=7)
    assert len(read(tmp_path, ESCI)["judgements"]) == 100


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    folder = write_esci(tmp_path, [judgement(1)], [judged_product(1)])
    (folder / "shopping_queries_dataset_products.parquet").write_text("not Parquet")
    with pytest.raises(EcellmError, match=r"products\.parquet is text, not Parquet; it begins with 'not Parquet'"):
        read(tmp_path, ESCI)


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_truncated_parquet_is_an_error(tmp_path: Path, keep: float) -> None:
    folder = write_esci(tmp_path, [judgement(number) for number in range(500)], [judged_product(1)])
    file = folder / "shopping_queries_dataset_examples.parquet"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(EcellmError, match=r"examples\.parquet cannot be read"):
        read(tmp_path, ESCI)


def test_a_parquet_whose_pages_are_damaged_is_an_error(tmp_path: Path) -> None:
    folder = write_esci(
        tmp_path, [judgement(number, query=f"q{number}") for number in range(500)], [judged_product(1)]
    )
    file = folder / "shopping_queries_dataset_examples.parquet"
    data = bytearray(file.read_bytes())
    data[4 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4)
    file.write_bytes(bytes(data))
    with pytest.raises(EcellmError, match=r"examples\.parquet cannot be read"):
        read(tmp_path, ESCI)


def test_a_missing_column_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    row = judgement(1)
    del row["esci_label"]
    write_esci(tmp_path, [row], [judged_product(1)])
    with pytest.raises(EcellmError, match=r"examples\.parquet has no column 'esci_label'; it has "):
        read(tmp_path, ESCI)


def test_a_column_of_another_type_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    write_esci(tmp_path, [judgement(1, small_version="yes")], [judged_product(1)])
    said = r"examples\.parquet has no usable row \(small_version has the wrong type: 'yes'"
    with pytest.raises(EcellmError, match=said):
        read(tmp_path, ESCI)


def test_bytes_that_are_utf_8_are_text_and_lists_and_other_bytes_are_rejected(tmp_path: Path) -> None:
    folder = write_esci(tmp_path, [judgement(number) for number in range(3)], [judged_product(1)])
    file = folder / "shopping_queries_dataset_products.parquet"
    products = pa.Table.from_pylist([judged_product(number) for number in range(3)])

    def titles(*values: object) -> list[str | None]:
        column = products.column_names.index("product_title")
        pq.write_table(products.set_column(column, "product_title", pa.array(values)), file)
        found = read(tmp_path, ESCI)
        wrong = [row["reason"] for row in found.rejects]
        assert wrong == ["product_title has the wrong type"] * (3 - len(found["products"]))
        return [row["title"] for row in sorted(found["products"], key=lambda row: str(row["product_id"]))]

    assert titles(b"Caf\xc3\xa9", b"\xff", None) == ["Café", None]
    assert titles(["a list"], None, None) == [None, None]
    assert titles(1.5, float("nan"), None) == ["1.5", None, None]
    assert titles(7, 8, None) == ["7", "8", None]


def test_a_file_without_us_rows_is_an_error(tmp_path: Path) -> None:
    write_esci(tmp_path, [judgement(1, product_locale="jp")], [judged_product(1)])
    with pytest.raises(EcellmError, match=r"examples\.parquet has no usable row"):
        read(tmp_path, ESCI)
