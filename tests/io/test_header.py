"""Files that are no tables, or not of the kind that their names say: one sentence says what each is."""

import gzip
import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecellm.errors import DataError
from ecellm.io.tables.header import file_columns, refuse_other_kind

CSV = b"stars,text\n5,fine\n4,good\n"
LINES = b'{"stars": 5, "text": "fine"}\n'
ROWS = [{"stars": 5, "text": "fine"}, {"stars": 4, "text": "good"}]
DEEP = b"[" * 100_000 + b"]" * 100_000
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file)
    return file.getvalue()


def said_of(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        file_columns(path)
    assert str(error.value).startswith(str(path)) and str(error.value).count("\n") == 0
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("r.csv", POINTER, "is a pointer of Git LFS, not the file itself: run git lfs pull."),
        ("r.csv.gz", POINTER, "is a pointer of Git LFS"),
        ("r.csv.gz", zipped(POINTER), "is a pointer of Git LFS"),
        ("r.parquet", POINTER, "is a pointer of Git LFS"),
        ("r.csv", zipped(CSV), "is compressed with gzip: name it r.csv.gz."),
        ("r.jsonl", zipped(LINES), "is compressed with gzip: name it r.jsonl.gz."),
        ("r.parquet", zipped(parquet()), "is compressed with gzip: decompress it."),
        ("r.csv.gz", CSV, "is not compressed with gzip: remove .gz from its name."),
        ("r.csv", parquet(), "is a Parquet file: name it .parquet."),
        ("r.jsonl.gz", zipped(parquet()), "is a Parquet file: name it .parquet."),
        ("r.csv", b"PK\x03\x04" + bytes(40), "is an Excel workbook or a zip archive: save the sheet as CSV"),
        ("r.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook: save the sheet as CSV."),
        ("r.csv", b"\x28\xb5\x2f\xfd" + CSV, "is compressed with Zstandard: decompress it"),
        ("r.csv", b"BZh91AY&SY" + CSV, "is compressed with bzip2"),
        ("r.csv", b"\xfd7zXZ\x00" + CSV, "is compressed with xz"),
        ("r.csv", CSV.decode().encode("utf-16"), "is UTF-16 text: save it as UTF-8."),
        ("r.csv", CSV.decode().encode("utf-16-le"), "is UTF-16 text: save it as UTF-8."),
        ("r.csv.gz", zipped(CSV.decode().encode("utf-16")), "is UTF-16 text: save it as UTF-8."),
        ("r.jsonl", LINES.decode().encode("utf-16-be"), "is UTF-16 text: save it as UTF-8."),
        ("r.csv", b"\n<!DOCTYPE html>\n<html>", "is a web page, not a table: download the file itself."),
        (
            "r.csv",
            b"sep=;\r\nstars;text\r\n",
            "begins with the line 'sep=;', which only Excel understands: remove it.",
        ),
        ("r.csv", b"\xef\xbb\xbfsep=,\n" + CSV, "begins with the line 'sep=,'"),
        ("r.csv", LINES, "holds JSON, not CSV: name it .jsonl if it has one object a line."),
        ("r.csv", CSV.replace(b"\n", b"\r"), "line 1 cannot be read as the names of columns: its lines end with"),
        ("r.json", json.dumps(ROWS).encode(), "holds a JSON array: write one object a line."),
        ("r.jsonl", json.dumps(ROWS, indent=1).encode(), "holds a JSON array: write one object a line."),
        ("r.json", json.dumps(ROWS[0], indent=1).encode(), "holds a JSON object that is not in one line: write one"),
        ("r.jsonl", CSV, "has no JSON object in a line of its own; it begins with 'stars,text'"),
        ("r.csv", b"", "is empty"),
        ("r.csv", b'"sta\nrs",text\n5,fine\n', "is not closed, and a column's name cannot hold a line break."),
        ("r.parquet", CSV, "is text, not Parquet; it begins with 'stars,text': name it .csv"),
        ("r.parquet", CSV.replace(b",", b"\t"), "is text, not Parquet; it begins with 'stars\\ttext': name it .csv"),
        ("r.parquet", LINES, "holds JSON, not Parquet: name it .jsonl if it has one object a line."),
        ("r.parquet", parquet()[:40], "cannot be read: "),
        ("r.parquet", bytes(100), "cannot be read: "),
        ("r.jsonl", b'{"a": ' + DEEP + b"}\n", "begins with JSON that is nested too deeply: write one object a line"),
        ("r.jsonl", DEEP, "begins with JSON that is nested too deeply"),
        ("r.jsonl", b'{"stars": 5, "stars": 4}\n', "begins with a JSON object that gives stars twice: write each"),
        ("r.jsonl", b"{}\n{}\n", "has no names in its objects"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_it_is(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    assert said in said_of(tmp_path / name, data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("r.csv", CSV),
        ("r.csv", b"\xef\xbb\xbf" + CSV),
        ("r.csv", CSV.replace(b",", b";")),
        ("r.tsv", CSV.replace(b",", b"\t").replace(b"\n", b"\r\n")),
        ("r.csv.gz", zipped(CSV)),
        ("r.jsonl", b"\xef\xbb\xbf\nno JSON\n" + LINES),
        ("r.parquet", parquet()),
        ("r.jsonl", b'{"stars": ' + b"9" * 5000 + b', "text": "fine"}\n'),
        ("r.jsonl", b'{"stars": ' + DEEP + b"}\n" + LINES),
        ("r.csv", b"stars,text,x,x\n"),
        ("r.csv", "stars,text,Größe\n".encode("latin-1")),
    ],
)
def test_a_table_has_its_columns(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert file_columns(tmp_path / name)[:2] == ["stars", "text"]


def test_a_file_without_a_known_extension_is_judged_by_its_first_bytes_alone(tmp_path: Path) -> None:
    for data in (b"", parquet(), bytes(100), CSV):
        (tmp_path / "data").write_bytes(data)
        refuse_other_kind(tmp_path / "data")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        refuse_other_kind(tmp_path)
    (tmp_path / "data").write_bytes(POINTER)
    with pytest.raises(DataError, match=re.escape("pointer of Git LFS")):
        refuse_other_kind(tmp_path / "data")
