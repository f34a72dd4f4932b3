"""Damaged text files of a shop's own: every line is a row, a reject with its number, or part of a used text."""

import csv
import io
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_files import opened, read, write_catalogues

from ecellm.data.config import Sources
from ecellm.data.convert import Rejection, TableForm, convert
from ecellm.data.sources import Wanted
from ecellm.errors import DataError
from ecellm.io.tables.cells import KINDS, WRONG
from ecellm.io.tables.csv_records import CsvRecords
from ecellm.io.tables.lines import TextLines

ENGINES = pytest.mark.usefixtures("engine")

Row = dict[str, Any]


def reviews(root: Path, name: str, text: bytes) -> tuple[list[Row], list[Row]]:
    """The rows of a table of reviews, and the rejects."""
    (root / name).write_bytes(text)
    sources = Sources.model_validate({"tables": {"reviews": {"file": name}}})
    with opened(root, sources, Wanted(), ["reviews"]) as (store, bench):
        return store.rows(store["reviews"]), bench.rejected()


def rejected(rows: Sequence[Row]) -> list[tuple[int, str]]:
    return [(row["line"], row["reason"]) for row in rows]


UNCLOSED = "quotation mark is not closed"


@ENGINES
@pytest.mark.parametrize("mark", ["\t", ","])
@pytest.mark.parametrize("last", ["5~fine", "5~", '5~"fine, really"', '5~a screen of 15"'])
def test_a_quotation_mark_that_is_never_closed_costs_its_own_line(tmp_path: Path, mark: str, last: str) -> None:
    lines = ["stars~text", "5~one", "4~two", '3~"three', "2~four", "1~five", *["4~more"] * 20, last]
    name = "r.tsv" if mark == "\t" else "r.csv"
    rows, rejects = reviews(tmp_path, name, "\n".join(lines).replace("~", mark).encode())
    without = last == "5~"
    assert len(rows) == 24 + (not without)
    assert rejected(rejects) == [(4, UNCLOSED), *([(27, "text is missing")] if without else [])]


@ENGINES
def test_where_no_column_tells_rows_from_text_lines_that_all_look_like_rows_are_rows(tmp_path: Path) -> None:
    swallowing = '1,"mug\n2,lamp\n3,screen of 15"\n'
    whole = '4,"Red,\nblue, green"\n5,"Red\nand, some say,\nblue"\n6,tent\n7,"Red\nblue,green"\n'
    (tmp_path / "p.csv").write_text(f"product_id,title\n{swallowing}{whole}")
    sources = Sources.model_validate({"tables": {"products": {"file": "p.csv"}}})
    with opened(tmp_path, sources, Wanted(), ["products"]) as (store, bench):
        titles = {row["product_id"]: row["title"] for row in store.rows(store["products"])}
        assert rejected(bench.rejected()) == [(2, UNCLOSED)]
    assert titles == {
        "2": "lamp",
        "3": 'screen of 15"',
        "4": "Red,\nblue, green",
        "5": "Red\nand, some say,\nblue",
        "6": "tent",
        "7": "Red\nblue,green",
    }


LONG = "one two three four five six seven eight"


@ENGINES
@pytest.mark.parametrize(
    "text",
    [f"{LONG}\n5,because good\nthe end", f"{LONG}\nreally", f"{LONG}\nMy score, 5\nI mean it.", f"{LONG}\n5,yes"],
)
@pytest.mark.parametrize("columns", [("stars", "text"), ("text", "stars")])
def test_texts_with_lines_that_look_like_rows_are_whole(columns: tuple[str, str], text: str, tmp_path: Path) -> None:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{"stars": 1, "text": text}, {"stars": 4, "text": "plain"}] * 5)
    rows, rejects = reviews(tmp_path, "r.csv", file.getvalue().encode())
    assert sorted((row["stars"], row["text"]) for row in rows) == [(1, text)] * 5 + [(4, "plain")] * 5
    assert rejects == []


@ENGINES
def test_a_file_cut_within_its_last_quoted_value_loses_that_row_and_counts_it(tmp_path: Path) -> None:
    rows, rejects = reviews(tmp_path, "r.csv", b'stars,text\n5,one\n4,"two, and\nmore"\n3,"cut, he')
    assert sorted(row["text"] for row in rows) == ["one", "two, and\nmore"]
    assert rejected(rejects) == [(5, UNCLOSED)]


@ENGINES
def test_the_mapping_file_cut_within_a_quoted_value_loses_that_row_and_counts_it(tmp_path: Path) -> None:
    sources = Sources(amazon_google="amazon_google")
    file = write_catalogues(tmp_path) / "Amzon_GoogleProducts_perfectMapping.csv"
    file.write_bytes(file.read_bytes() + b'"a2","http://g/2"\n"a3","http:')
    found = read(tmp_path, sources)
    assert sorted(row["left_id"] for row in found["matches"]) == ["a1", "a2"]
    assert rejected(found.rejects) == [(4, UNCLOSED)]


@ENGINES
def test_a_header_whose_quotation_mark_is_not_closed_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"r\.csv, line 1 cannot be read as the names of columns: a quotation mark"):
        reviews(tmp_path, "r.csv", b'stars,"text\n5,one\n')


@ENGINES
def test_quoted_line_breaks_commas_and_marks_stay_as_they_are(tmp_path: Path) -> None:
    text = 'two, or\r\nthree lines,\n"quoted", and 5 of them'
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows([["stars", "text"], [5, text], [4, "one"]])
    rows, rejects = reviews(tmp_path, "r.csv", b"\xef\xbb\xbf" + file.getvalue().encode())
    assert sorted(row["text"] for row in rows) == ["one", text]
    assert rejects == []


@ENGINES
def test_lines_of_another_encoding_and_endless_lines_are_rejected_with_their_numbers(tmp_path: Path) -> None:
    endless = b"5," + b"x" * (5 << 20)
    rows, rejects = reviews(tmp_path, "r.csv", b"stars,text\n5,one\n4,caf\xe9\n" + endless + b"\n3,two\n\n9,three")
    assert sorted(row["text"] for row in rows) == ["one", "two"]
    assert rejected(rejects) == [
        (3, "invalid encoding"),
        (4, "line size over maximum"),
        (7, "stars has the wrong type"),
    ]


def test_in_a_table_of_one_column_a_quoted_text_may_have_any_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text\n"one\ntwo"\nthree\n')
    records = list(CsvRecords(TextLines(tmp_path / "t.csv"), ",", 1, None))
    assert [(record.cells, record.fault) for record in records] == [(["one\ntwo"], ""), (["three"], "")]


WORDS = st.text(st.sampled_from('abc," é\t'), min_size=1, max_size=8).filter(str.strip)
PIECES = st.sampled_from([b"", b'"', b'""', b",", b"\t", b"\n", b"\r\n", b"\xff", b"{", b"}"])
#: Where, as a share of the file, what is put in, and how many bytes go.
DAMAGE = st.lists(st.tuples(st.floats(0, 1), PIECES, st.integers(0, 3)), max_size=3)
FORM = TableForm({"stars": ("stars", "stars"), "text": ("text", "text")}, ["stars", "text"])
PLAIN_ROW = {"r.csv": re.compile(r"[1-5],[^,\"]+"), "r.tsv": re.compile(r"[1-5]\t[^\t\"]+")}


def written(texts: Sequence[str], name: str) -> bytes:
    """A table of reviews."""
    rows = [(place % 5 + 1, text) for place, text in enumerate(texts)]
    if name == "r.jsonl":
        return "".join(json.dumps({"stars": stars, "text": text}) + "\n" for stars, text in rows).encode()
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t" if name == "r.tsv" else ",", lineterminator="\n")
    writer.writerows([["stars", "text"], *rows])
    return file.getvalue().encode()


def damaged(text: bytes, damage: Sequence[tuple[float, bytes, int]], name: str) -> bytes:
    """The file with its bytes below the header damaged."""
    start = 0 if name == "r.jsonl" else text.index(b"\n") + 1
    for share, more, gone in damage:
        place = start + int(share * (len(text) - start))
        text = text[:place] + more + text[place + gone :]
    return text


def converted(folder: Path, name: str, text: bytes) -> tuple[list[Row], list[Rejection]]:
    """The rows of a file and its rejects, before any engine reads them."""
    path, into, rejections = folder / name, folder / "rows.parquet", list[Rejection]()
    path.write_bytes(text)
    convert(path, path, into, FORM, rejections.extend)
    return pq.read_table(into).to_pylist(), rejections


def is_review(cells: Sequence[str]) -> bool:
    return KINDS["stars"].of(cells[0]) not in (WRONG, None)


def is_any(cells: Sequence[str]) -> bool:
    """Say that what has the width of a row is one, as of tabs, which texts do not have."""
    return True


def filled(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("name", ["r.csv", "r.tsv"])
@settings(max_examples=300)
@given(texts=st.lists(WORDS, min_size=2, max_size=8), damage=DAMAGE)
def test_every_line_is_in_one_record_whatever_the_damage(name: str, texts: list[str], damage: list[Any]) -> None:
    """The records and the blank lines are the file; none of those that are used is made of plain rows; and
    each is used or rejected."""
    text = damaged(written(texts, name), damage, name)
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(text)
        lines = TextLines(Path(folder) / name)
        records = list(CsvRecords(lines, *(("\t", 2, is_any) if name == "r.tsv" else (",", 2, is_review))))
        below = text.partition(b"\n")[2].decode(errors="replace")
        there = "".join(record.text if record.text.endswith("\n") else record.text + "\n" for record in records)
        assert filled(there) == filled(below)
        for record in records:
            inner = [] if record.fault else record.text.rstrip("\n").split("\n")[1:]
            rows_within = [bool(PLAIN_ROW[name].fullmatch(line.rstrip("\r"))) for line in inner]
            assert not (any(rows_within) if name == "r.tsv" else len(inner) > 1 and all(rows_within))
        with suppress(DataError):  # no usable row
            rows, rejections = converted(Path(folder), name, text)
            assert len(rows) + len(rejections) == len(records)


@settings(max_examples=100)
@given(texts=st.lists(WORDS, min_size=2, max_size=8), damage=DAMAGE)
def test_every_json_line_is_used_or_rejected_whatever_the_damage(texts: list[str], damage: list[Any]) -> None:
    text = damaged(written(texts, "r.jsonl"), damage, "r.jsonl")
    with TemporaryDirectory() as folder, suppress(DataError):  # no usable row
        rows, rejections = converted(Path(folder), "r.jsonl", text)
        assert len(rows) + len(rejections) == len([line for line in text.split(b"\n") if line.strip()])


@ENGINES
@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.jsonl"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(WORDS, min_size=2, max_size=8), damage=DAMAGE)
def test_the_engine_has_these_rows_and_rejects_and_no_others(name: str, texts: list[str], damage: list[Any]) -> None:
    text = damaged(written(texts, name), damage, name)
    with TemporaryDirectory() as folder:
        try:
            rows, rejections = converted(Path(folder), name, text)
        except DataError as error:
            with pytest.raises(DataError) as caught:
                reviews(Path(folder), name, text)
            # Where no line has any of its columns, that is said first.
            others = ("no table 'reviews'", "has no JSON object", "holds a JSON", "none of the columns")
            assert str(caught.value) == str(error) or any(other in str(caught.value) for other in others)
            return
        found, rejects = reviews(Path(folder), name, text)
    assert sorted((row["stars"], row["text"]) for row in found) == sorted((row["stars"], row["text"]) for row in rows)
    assert sorted(rejected(rejects)) == sorted((one.line, one.reason) for one in rejections)
