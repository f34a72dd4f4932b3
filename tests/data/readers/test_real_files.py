"""The real sample's files, read whole: the rows that its README counts."""

from collections import Counter
from pathlib import Path

import pytest
from source_files import ALL, Read, read

REVIEWS = {"All_Beauty": 5_269, "Gift_Cards": 2_972, "AMAZON_FASHION": 3_176, "Appliances": 2_277}
PURCHASES = REVIEWS | {"Beauty_2014": 198_502, "Video_Games": 78_363}
#: Those of 2014 have rows without a title besides the titled products that the README counts: 7 and 3.
PAGES = {
    "Beauty_2014": 12_081 + 7,
    "ECGuide_PRP_pool": 1_993,
    "Gift_Cards": 1_547,
    "Magazine_Subscriptions": 3_385 - 1_065,
    "Natural_Health_2014": 997 + 3,
    "Video_Games": 14_641,
}


@pytest.fixture(scope="module")
def found(real_data: Path) -> Read:
    return read(real_data, ALL, reviews=list(REVIEWS), metadata=list(PAGES), ratings=list(PURCHASES))


pytestmark = pytest.mark.slow


def test_each_table_has_the_rows_that_are_there(found: Read) -> None:
    assert Counter(row["category"] for row in found["reviews"]) == REVIEWS
    assert Counter(row["category"] for row in found["purchases"]) == PURCHASES
    products = Counter(row["catalogue"] for row in found["products"])
    assert (products["amazon"], products["google"], products["mave"]) == (1_363, 3_226, 4_511 + 721)
    pages = Counter(row["category"] for row in found["products"] if row["catalogue"] == "amazon_2018")
    assert pages == PAGES
    untitled = Counter(row["category"] for row in found["products"] if row["category"] in PAGES and not row["title"])
    assert untitled == {"Beauty_2014": 7, "Natural_Health_2014": 3}
    assert len(found["matches"]) == 1_300
    labels = Counter(row["label"] for row in found["judgements"])
    assert labels == {"E": 1_379, "S": 497, "I": 334, "C": 329}
    splits = Counter(row["split"] for row in found["questions"])
    assert splits == {"train": 8_950, "validation": 1_042, "test": 3_371}
    assert len({row["attribute"] for row in found["attributes"] if row["value"] is not None}) == 197
    relations = Counter(row["relation"] for row in found["relations"] if row["category"] == "ECGuide_PRP_pool")
    assert relations == {"also_buy": 333, "also_view": 333, "similar": 333}
    assert {row["relation"] for row in found["relations"] if "2014" in row["category"]} == {"also_buy", "also_view"}


def test_only_repeated_magazines_are_set_aside(found: Read) -> None:
    assert found.reasons() == {("meta_Magazine_Subscriptions.json.gz", "product stands there already"): 1_065}


def test_latin_letters_prices_and_markup_are_as_written(found: Read) -> None:
    products = found["products"]
    assert not any("\ufffd" in (row["title"] or "") for row in products if row["catalogue"] in ("amazon", "google"))
    prices = {name: {row["price"] for row in products if row["catalogue"] == name} for name in ("amazon", "google")}
    assert {"0.0", "599.0", "19.99"} <= prices["amazon"] and not {"0", "599"} & prices["amazon"]
    # A column with "gbp" in it is no column of numbers: its whole prices stay whole.
    assert {"12", "38.99", "185.32 gbp"} <= prices["google"]
    titles = [row["title"] or "" for row in products if row["category"] == "Magazine_Subscriptions"]
    assert sum(title.startswith("<span") for title in titles) > 2_000


def test_an_evidence_stands_in_the_field_it_names(found: Read) -> None:
    texts = {row["product_id"]: row for row in found["products"] if row["catalogue"] == "mave"}
    valued = [row for row in found["attributes"] if row["value"] is not None]
    assert all(row["value"] in texts[row["product_id"]][row["field"]] for row in valued)
