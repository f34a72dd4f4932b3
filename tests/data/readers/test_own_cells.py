"""What a cell of a shop's own table may be, by the rules in docs/own-tables.md: used, missing or rejected."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import opened

from ecellm.data.config import Sources
from ecellm.data.sources import Wanted
from ecellm.errors import DataError

pytestmark = pytest.mark.usefixtures("engine")

Row = dict[str, Any]
WRONG = "{} has the wrong type"
NO_TIME = "time is no date or time from 1990 to tomorrow"


def read(root: Path, table: str, file: str) -> tuple[list[Row], list[str]]:
    """A table's rows and the reasons of its rejects, in the file's order where it has lines."""
    sources = Sources.model_validate({"tables": {table: {"file": file}}})
    with opened(root, sources, Wanted(), [table]) as (store, bench):
        return store.rows(store[table]), [row["reason"] for row in bench.rejected()]


def texts(root: Path, values: pa.Array) -> tuple[list[str], list[str]]:
    """The texts of a Parquet column, and the reasons of the rejects."""
    pq.write_table(pa.table({"stars": [5] * len(values), "text": values}), root / "r.parquet")
    rows, reasons = read(root, "reviews", "r.parquet")
    return sorted(row["text"] for row in rows), reasons


def times(root: Path, values: Sequence[object]) -> tuple[list[int], list[str]]:
    """The times of a column of CSV, and the reasons of the rejects."""
    lines = ["stars,text,time", *(f"5,fine,{value}" for value in values)]
    (root / "r.csv").write_text("\n".join(lines) + "\n")
    rows, reasons = read(root, "reviews", "r.csv")
    return sorted(row["time"] for row in rows), reasons


def test_bytes_that_are_utf_8_are_text_and_others_are_rejected(tmp_path: Path) -> None:
    for kind in (pa.binary(), pa.large_binary()):
        cells = pa.array([b"Caf\xc3\xa9", b"fine", b"Caf\xe9"], kind)
        assert texts(tmp_path, cells) == (["Café", "fine"], [WRONG.format("text")])


def test_text_that_parquet_calls_text_and_is_none_is_rejected(tmp_path: Path) -> None:
    cells = pa.array([b"fine", b"Caf\xe9"], pa.binary()).view(pa.string())
    assert texts(tmp_path, cells) == (["fine"], [WRONG.format("text")])


def test_nan_is_missing_and_other_numbers_are_text(tmp_path: Path) -> None:
    assert texts(tmp_path, pa.array([1.5, float("nan"), None])) == (["1.5"], ["text is missing"] * 2)
    assert texts(tmp_path, pa.array([7, 8])) == (["7", "8"], [])
    (tmp_path / "r.csv").write_text("stars,text\n5,nan\n")
    assert [row["text"] for row in read(tmp_path, "reviews", "r.csv")[0]] == ["nan"]


def test_lists_and_objects_are_no_text(tmp_path: Path) -> None:
    cells: list[object] = ["fine", ["fine"], {"a": 1}, True, 5, 1.50]
    lines = "".join(json.dumps({"stars": 5, "text": cell}) + "\n" for cell in cells)
    (tmp_path / "r.jsonl").write_text(lines)
    rows, reasons = read(tmp_path, "reviews", "r.jsonl")
    assert sorted(row["text"] for row in rows) == ["1.5", "5", "fine", "true"]
    assert reasons == [WRONG.format("text")] * 2


def test_a_list_of_texts_holds_texts_alone_and_a_cell_that_is_no_json_list_is_one_text(tmp_path: Path) -> None:
    good: dict[str, tuple[object, list[str]]] = {
        "list": (["a", 1.5, True], ["a", "1.5", "true"]),
        "JSON text": ('["a", "b"]', ["a", "b"]),
        "one text": ("it fits", ["it fits"]),
        "in brackets": ("[Update] it fits", ["[Update] it fits"]),
        "not closed": ("[1", ["[1"]),
        "none": ([], []),
    }
    bad: list[object] = [[None], [["a"]], [{"a": 1}], "[null]", '[["a"]]', {"a": 1}]
    rows = [{"question": name, "snippets": cell} for name, (cell, _) in good.items()]
    rows += [{"question": "bad", "snippets": cell} for cell in bad]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, reasons = read(tmp_path, "questions", "q.jsonl")
    assert {row["question"]: row["snippets"] for row in found} == {name: wanted for name, (_, wanted) in good.items()}
    assert reasons == [WRONG.format("snippets")] * len(bad)


def test_seconds_and_milliseconds_are_told_apart(tmp_path: Path) -> None:
    day = 1_472_688_000
    written = [day, day * 1000 + 999, f"{day}.0", "2016-09-01", "2016-09-01T00:00:00Z", "1990-01-01"]
    assert times(tmp_path, written) == ([631_152_000, *[day] * 5], [])


def test_a_time_that_cannot_be_meant_is_rejected(tmp_path: Path) -> None:
    bad = [2016, 42370, 20160901, 201609010000, 1472688000000000, -1, "1989-12-31", "2099-01-01", "soon"]
    assert times(tmp_path, ["2016-09-01", *bad]) == ([1_472_688_000], [NO_TIME] * len(bad))


@pytest.mark.parametrize("value", ["20160901", "2016", "42370"])
def test_a_table_whose_times_are_all_implausible_is_refused_with_a_value(value: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"no usable row \(line 2: {NO_TIME}: '{value}'\)"):
        times(tmp_path, [value] * 3)


def test_what_python_cannot_hold_costs_nothing_where_nobody_needs_it(tmp_path: Path) -> None:
    many = 3
    unneeded = {
        "far": pa.array([253_402_300_799_000_000] * many, pa.timestamp("us", "America/New_York")),
        "farther": pa.array([1 << 62] * many, pa.timestamp("us")),
        "zone": pa.array([1] * many, pa.timestamp("us", "Mars/Phobos")),
        "duration": pa.array([1 << 62] * many, pa.duration("us")),
    }
    table = pa.table({"stars": [5] * many, "text": ["a", "b", "c"], **unneeded})
    pq.write_table(table, tmp_path / "r.parquet")
    rows, reasons = read(tmp_path, "reviews", "r.parquet")
    assert (len(rows), reasons) == (many, [])


def test_a_time_of_the_type_int96_after_2262_is_not_taken_for_another(tmp_path: Path) -> None:
    far = pa.array([1_472_688_000_000_000, 253_402_214_400_000_000, 20_163_513_600_000_000], pa.timestamp("us"))
    table = pa.table({"stars": [5] * 3, "text": ["a", "b", "c"], "time": far})
    pq.write_table(table, tmp_path / "r.parquet", use_deprecated_int96_timestamps=True)
    rows, reasons = read(tmp_path, "reviews", "r.parquet")
    assert ([row["time"] for row in rows], reasons) == ([1_472_688_000], [NO_TIME] * 2)


def test_what_python_cannot_hold_is_rejected_where_it_is_needed(tmp_path: Path) -> None:
    far = pa.array([1_472_688_000_000_000, 1 << 62], pa.timestamp("us"))
    pq.write_table(pa.table({"stars": [5, 5], "text": ["a", "b"], "time": far}), tmp_path / "r.parquet")
    rows, reasons = read(tmp_path, "reviews", "r.parquet")
    assert ([row["time"] for row in rows], reasons) == ([1_472_688_000], [NO_TIME])
    zones = pa.array([["2016"], [1]][1:] * 2, pa.list_(pa.timestamp("us", "Mars/Phobos")))
    with pytest.raises(DataError, match="text has the wrong type"):
        texts(tmp_path, zones)
    assert texts(tmp_path, pa.array([0, 1 << 30], pa.date32())) == (["1970-01-01"], [WRONG.format("text")])


def from_sqlite(folder: Path, table: str, columns: str, *rows: str) -> tuple[list[Row], list[Row]]:
    """Return what is used and rejected of rows, in SQL, of an SQLite table with these columns."""
    with sqlite3.connect(folder / "shop.sqlite") as shop:
        shop.execute(f"create table {table} ({columns})")
        for row in rows:
            shop.execute(f"insert into {table} values ({row})")
    shop.close()
    sources = Sources.model_validate({"tables": {table: {"database": "shop.sqlite", "table": table}}})
    with opened(folder, sources, Wanted(), [table]) as (store, bench):
        return store.rows(store[table]), [dict(row) for row in bench.rejected()]


def test_an_odd_cell_of_a_database_costs_its_own_row_where_it_is_needed(tmp_path: Path) -> None:
    rows, rejected = from_sqlite(
        tmp_path,
        "reviews",
        "stars integer, text text, time timestamp, day date, much int",
        "5, 'fine', 1472688000, 'no day', 'no number'",
        "'many', 'fine', null, null, null",
        "'4', x'436166C3A9', '2024-03-01 12:30', null, null",
        "3, cast(x'ff41' as text), null, null, null",
        "2.0, 7.5, null, null, null",
        "1, 'late', 'soon', null, null",
        "2, '', null, null, null",
    )
    found = sorted((row["stars"], row["text"], row["time"]) for row in rows)
    assert found == [(2, "7.5", 0), (4, "Café", 1_709_296_200), (5, "fine", 1_472_688_000)]
    wrong = [WRONG.format("stars"), WRONG.format("text"), "text is missing", NO_TIME]
    assert sorted(str(row["reason"]) for row in rejected) == sorted(wrong)
    assert any("\\\\xffA" in str(row["excerpt"]) for row in rejected)


def test_lists_are_read_from_the_texts_of_a_database(tmp_path: Path) -> None:
    rows, rejected = from_sqlite(
        tmp_path,
        "questions",
        "question text, snippets text",
        """'loud?', '["no", "quiet"]'""",
        "'new?', 'in May'",
        "'old?', '[null]'",
    )
    assert {row["question"]: row["snippets"] for row in rows} == {"loud?": ["no", "quiet"], "new?": ["in May"]}
    assert [row["reason"] for row in rejected] == [WRONG.format("snippets")]


def test_a_damaged_page_of_parquet_names_the_file(tmp_path: Path) -> None:
    table = pa.table({"stars": [5] * 500, "text": [f"text {number}" for number in range(500)]})
    pq.write_table(table, tmp_path / "r.parquet")
    data = bytearray((tmp_path / "r.parquet").read_bytes())
    data[40:400] = bytes(byte ^ 0x5A for byte in data[40:400])
    (tmp_path / "r.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"r\.parquet cannot be read: .*\. Get the file again"):
        read(tmp_path, "reviews", "r.parquet")


def test_a_header_that_stands_there_again_is_rejected_and_a_column_named_row_is_a_column(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("product_id,title\n1,mug\nproduct_id,title\n2,lamp\n")
    rows, reasons = read(tmp_path, "products", "p.csv")
    assert (sorted(row["title"] for row in rows), reasons) == (["lamp", "mug"], ["the header stands there again"])
    (tmp_path / "r.jsonl").write_text('{"row": 1, "stars": 5, "text": "fine"}\n')
    rows, reasons = read(tmp_path, "reviews", "r.jsonl")
    assert ([row["text"] for row in rows], reasons) == (["fine"], [])


def test_a_column_that_stands_twice_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("stars,text,more,more\n5,fine,1,2\n")
    assert len(read(tmp_path, "reviews", "r.csv")[0]) == 1
    (tmp_path / "r.csv").write_text("stars,text,text\n5,fine,1\n")
    with pytest.raises(DataError, match=r"r\.csv has the column 'text' more than once"):
        read(tmp_path, "reviews", "r.csv")


def test_semicolons_divide_columns_where_the_header_has_them(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("stars;text\n5;one, and\n4;two\n")
    rows, reasons = read(tmp_path, "reviews", "r.csv")
    assert (sorted(row["text"] for row in rows), reasons) == (["one, and", "two"], [])


def test_mixed_line_ends_cost_the_lines_that_a_carriage_return_divides(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b'stars,text\r\n5,one\n4,two\r\n3,three\r2,four\n1,"five"\r5,"six"\n4,seven')
    rows, reasons = read(tmp_path, "reviews", "r.csv")
    assert sorted(row["text"] for row in rows) == ["one", "seven", "two"]
    assert reasons == ["carriage return within the line"] * 2


def test_a_table_without_any_known_column_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("Stars,Text\n5,fine\n")
    with pytest.raises(
        DataError, match=r"none of the columns of a table reviews \(stars, .*; it has Stars, Text: map"
    ):
        read(tmp_path, "reviews", "r.csv")


def test_a_json_line_that_gives_a_name_twice_is_rejected_and_nan_is_nothing(tmp_path: Path) -> None:
    twice, other, lacking = (
        '{"stars": 1, "text": "a", "stars": 5}',
        '{"stars": 2, "text": "b", "other": NaN}',
        '{"stars": NaN, "text": "c"}',
    )
    (tmp_path / "r.jsonl").write_text("\n".join([twice, other, lacking]))
    rows, reasons = read(tmp_path, "reviews", "r.jsonl")
    assert [row["text"] for row in rows] == ["b"]
    assert reasons == ["JSON object that gives stars twice", "stars is missing"]
