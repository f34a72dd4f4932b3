"""Amazon-Google: Latin-1 CSVs or the authors' reading of them, Amazon's prices as floats, broken rows rejected."""

from pathlib import Path

import pytest
from source_files import read, write_catalogues

from ecellm.data.config import Sources
from ecellm.errors import EcellmError

pytestmark = pytest.mark.usefixtures("engine")

LEIPZIG = Sources(amazon_google="amazon_google")
AS_UTF8 = Sources(amazon_google="amazon_google", amazon_google_encoding="utf-8")


def test_records_of_both_catalogues_and_their_matches(tmp_path: Path) -> None:
    write_catalogues(tmp_path)
    found = read(tmp_path, LEIPZIG)
    rest = {"category": "", "feature": None, "categories": [], "fields": [], "shown": None}
    assert found.product("a1") == {
        "catalogue": "amazon",
        "product_id": "a1",
        "title": "word 7",
        "description": "writes",
        "brand": "acme",
        "price": "39.99",
        **rest,
    }
    assert found.product("http://g/1") == {
        "catalogue": "google",
        "product_id": "http://g/1",
        "title": "acme word 7.0",
        "description": None,
        "brand": None,
        "price": "gbp 20.00",
        **rest,
    }
    assert found["matches"] == [{"left_id": "a1", "right_id": "http://g/1"}]


PRICES = {
    "649": "649.0",
    "0": "0.0",
    "0.00": "0.0",
    "19.90": "19.9",
    "38.99": "38.99",
    "007.50": "7.5",
    "10000000": "10000000.0",
    "12345678901234567890": "1.2345678901234567e+19",
    "0.00001": "1e-05",
    "-5": "-5.0",
    "1,299.00": "1,299.00",
    "$5": "$5",
    "1e3": "1e3",
    "free": "free",
    "nan": "nan",
    "": None,
}


def test_amazons_price_is_the_text_of_a_float_and_googles_is_as_written(tmp_path: Path) -> None:
    records = [(f"a{place}", "word", "", "", price) for place, price in enumerate(PRICES)]
    offers = [(f"g{place}", "word", "", "", price) for place, price in enumerate(PRICES)]
    write_catalogues(tmp_path, amazon=records, google=offers)
    found = read(tmp_path, LEIPZIG)
    prices = {row["product_id"]: row["price"] for row in found["products"]}
    assert [prices[f"a{place}"] for place in range(len(PRICES))] == list(PRICES.values())
    assert [prices[f"g{place}"] for place in range(len(PRICES))] == [price or None for price in PRICES]


#: What is no UTF-8: a Latin-1 letter, one at the end, a sequence cut short, a surrogate, a byte that never occurs.
ODD = [b"caf\xe9 deluxe", b"na\xefve \xa9", b"end\xe9", b"cut \xe2\x82 short", b"\xed\xa0\x80 half", b"\xf5\xff"]
WHOLE = "café ☕, whole".encode()


def write_bytes(path: Path, titles: list[bytes]) -> None:
    rows = [b'"a%d","%s","two\nlines","","1"' % (place, title) for place, title in enumerate(titles)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\r\n".join([b'"id","title","description","manufacturer","price"', *rows, b""]))


@pytest.mark.parametrize("pieces", [1, 2])
def test_read_as_utf8_what_is_none_becomes_a_replacement_character_as_in_python(tmp_path: Path, pieces: int) -> None:
    titles = [*ODD, WHOLE]
    file = write_catalogues(tmp_path) / "Amazon.csv"
    if pieces == 1:
        write_bytes(file, titles)
    else:
        file.unlink()
        write_bytes(file / "part-0.csv", titles[:3])
        write_bytes(file / "part-1.csv", titles)
    found = read(tmp_path, AS_UTF8)
    rows = {row["product_id"]: row for row in found["products"] if row["catalogue"] == "amazon"}
    wanted = [title.decode("utf-8", errors="replace") for title in titles]
    assert [rows[f"a{place}"]["title"] for place in range(len(titles))] == wanted
    assert sum("\ufffd" in row["title"] for row in rows.values()) == len(ODD)
    assert {row["description"] for row in rows.values()} == {"two\nlines"}
    names = {input.path for input in found.inputs}
    pair = {"amazon_google/GoogleProducts.csv", "amazon_google/Amzon_GoogleProducts_perfectMapping.csv"}
    ends = [""] if pieces == 1 else ["/part-0.csv", "/part-1.csv"]
    assert names == pair | {f"amazon_google/Amazon.csv{end}" for end in ends}


def test_read_as_utf8_rejects_name_the_file_and_line_that_were_read(tmp_path: Path) -> None:
    folder = write_catalogues(tmp_path)
    with (folder / "Amazon.csv").open("a", encoding="latin-1") as file:
        file.write('"a2","trop peu à"\n"","no id","","","1"\n')
    found = read(tmp_path, AS_UTF8)
    assert {(row["file"], row["line"], row["reason"]) for row in found.rejects} == {
        ("amazon_google/Amazon.csv", 3, "missing columns"),
        ("amazon_google/Amazon.csv", 4, "id is missing"),
    }
    (folder / "Amazon.csv").write_bytes((folder / "GoogleProducts.csv").read_bytes())
    with pytest.raises(EcellmError, match=r"amazon_google/Amazon\.csv begins with the columns 'id,name,"):
        read(tmp_path, AS_UTF8)
    (folder / "Amazon.csv").unlink()
    with pytest.raises(EcellmError, match=r"There is no file .*amazon_google/Amazon\.csv"):
        read(tmp_path, AS_UTF8)


def test_quotes_commas_line_breaks_and_latin_letters_stay(tmp_path: Path) -> None:
    text = 'café "deluxe", señor\nsecond line ©'
    write_catalogues(tmp_path, amazon=[("a1", "word", text, "müller", "1"), ("a2", "next", "", "", "2")])
    found = read(tmp_path, LEIPZIG)
    assert found.product("a1")["description"] == text
    assert found.product("a1")["brand"] == "müller"
    assert found.product("a2")["title"] == "next"


def test_broken_rows_are_set_aside(tmp_path: Path) -> None:
    folder = write_catalogues(tmp_path)
    with (folder / "Amazon.csv").open("a", encoding="latin-1") as file:
        file.write('"a2","too few"\n"a3","too","many","cells","1","2"\n"","no id","","","1"\n"a4","fine","","","1"\n')
    found = read(tmp_path, LEIPZIG)
    assert sorted(row["product_id"] for row in found["products"]) == ["a1", "a4", "http://g/1"]
    assert found.reasons() == {
        ("Amazon.csv", "missing columns"): 1,
        ("Amazon.csv", "too many columns"): 1,
        ("Amazon.csv", "id is missing"): 1,
    }
    assert {row["line"] for row in found.rejects if "columns" in row["reason"]} == {3, 4}


def test_a_record_that_stands_twice_is_kept_once_whatever_the_order(tmp_path: Path) -> None:
    twice = [("a1", f"word {number}", "", "", "1") for number in range(5)]
    kept = []
    for order in (twice, twice[::-1]):
        write_catalogues(tmp_path, amazon=order)
        found = read(tmp_path, LEIPZIG)
        kept.append(found.product("a1")["title"])
        assert found.reasons() == {("Amazon.csv", "product stands there already"): 4}
    assert kept[0] == kept[1]


def test_another_files_header_is_an_error(tmp_path: Path) -> None:
    folder = write_catalogues(tmp_path)
    (folder / "Amazon.csv").write_bytes((folder / "GoogleProducts.csv").read_bytes())
    with pytest.raises(EcellmError, match=r"Amazon\.csv begins with the columns 'id,name,"):
        read(tmp_path, LEIPZIG)
