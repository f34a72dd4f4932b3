"""Amazon-Google: Latin-1 CSVs, prices as written, broken rows set aside."""

from pathlib import Path

import pytest
from source_files import read, write_catalogues

from ecellm.dataset.config import Sources

pytestmark = pytest.mark.usefixtures("engine")

LEIPZIG = Sources(amazon_google="amazon_google")


def test_records_of_both_catalogues_and_their_matches(tmp_path: Path) -> None:
    write_catalogues(tmp_path)
    found = read(tmp_path, LEIPZIG)
    rest = {"category": "", "feature": None, "categories": [], "fields": []}
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


@pytest.mark.parametrize("price", ["0", "0.00", "39.990", "1,299.00", "$5", "free"])
def test_a_price_stays_the_text_it_is(tmp_path: Path, price: str) -> None:
    write_catalogues(tmp_path, amazon=[("a1", "word", "", "", price)])
    assert read(tmp_path, LEIPZIG).product("a1")["price"] == price


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
    with pytest.raises(ValueError, match=r"Amazon\.csv begins with the columns 'id,name,"):
        read(tmp_path, LEIPZIG)
