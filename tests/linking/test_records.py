"""Every row of a table is a record, a repetition of one, or rejected with the reason."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogues import FIELDS, write_csv
from ecellm.errors import ConfigError, DataError
from ecellm.linking.records import Catalogue, Record, column_names, read_catalogue


def read(path: Path, columns: str = "") -> Catalogue:
    return read_catalogue(path, column_names(columns), FIELDS)


def test_records_are_in_the_order_of_ids_with_the_columns_that_are_named(tmp_path: Path) -> None:
    table = write_csv(
        tmp_path / "a.csv", ("sku", "name", "price", "stock"), [(7, "steel mug", 9.5, 3), (10, "lamp", "", 0)]
    )
    found = read(table, "id=sku, title=name")
    assert found.records == [Record("10", {"title": "lamp"}), Record("7", {"title": "steel mug", "price": "9.5"})]
    assert (found.rows, found.repeated, found.rejects) == (2, 0, [])


def test_a_row_that_is_no_record_is_rejected_with_the_reason(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "title": "mug"},
        {"id": "2", "title": " "},
        {"id": None, "title": "lamp"},
        {"id": "3", "title": ["a", "list"]},
        {"id": "4", "title": "pan", "price": 3},
        {"id": "4", "title": "pan", "price": 4},
        {"id": "1", "title": "mug"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "broken\n")
    found = read(tmp_path / "a.jsonl")
    assert found.records == [Record("1", {"title": "mug"})] and found.repeated == 1
    assert [(row["row"], str(row["reason"])[:40]) for row in found.rejects] == [
        (2, "title is empty."),
        (3, "id is empty."),
        (4, "title is no single text."),
        (5, "id '4' has other values in rows 5, 6."),
        (6, "id '4' has other values in rows 5, 6."),
        (8, "not a JSON object."),
    ]
    assert found.rows == len(found.records) + found.repeated + len(found.rejects)
    assert found.rejected_keys == {"2", "3", "4"}


def test_ids_of_a_column_with_gaps_are_whole_numbers(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [7.0, 8.5, None], "title": ["mug", "lamp", "pan"]}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert [record.key for record in found.records] == ["7", "8.5"] and len(found.rejects) == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("", "has no column 'id'; it has name, sku. Name the one to take with --columns id=COLUMN."),
        ("id=sku", "has no column 'title'"),
        ("id=sku,title=nam", "has no column 'nam'"),
        ("id=sku,title=name,brand=maker", "has no column 'maker'"),
        ("id=sku,title=name,weight=w", "--columns names weight; records have id, title, description, brand, price"),
        ("id", "--columns takes name=column pairs such as id=sku,title=name, not 'id'"),
        ("id=sku,id=name", "--columns gives id twice"),
    ],
)
def test_columns_that_cannot_be_are_named(columns: str, message: str, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "a.csv", ("sku", "name"), [(1, "mug")])
    with pytest.raises((ConfigError, DataError)) as raised:
        read(table, columns)
    assert message in str(raised.value)


def test_a_table_without_a_record_is_refused(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "a.csv", ("id", "title"), [("", "mug"), (2, "")])
    with pytest.raises(DataError, match=r"has no record; the first row: id is empty\.$"):
        read(table)
    with pytest.raises(DataError, match=r"has no rows\.$"):
        read(write_csv(tmp_path / "b.csv", ("id", "title"), []))


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["mug", "lamp", ""])), min_size=1), seed=st.randoms()
)
def test_no_row_goes_uncounted_and_their_order_changes_nothing(
    rows: list[tuple[int, str]], seed: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    mixed = list(rows)
    seed.shuffle(mixed)  # type: ignore[attr-defined]
    tables = [write_csv(folder / f"{name}.csv", ("id", "title"), some) for name, some in (("a", rows), ("b", mixed))]
    try:
        one, other = map(read, tables)
    except DataError:
        assert {title for key, title in rows if [k for k, _ in set(rows)].count(key) == 1} <= {""}
        return
    assert one.records == other.records and len(one.rejects) == len(other.rejects)
    assert one.rows == len(one.records) + one.repeated + len(one.rejects)
