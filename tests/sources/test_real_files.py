"""The real sample's files, read whole: the rows that its README counts."""

from collections import Counter
from pathlib import Path

import pytest
from source_files import ALL, Read, read

REVIEWS = {"All_Beauty": 5_269, "Gift_Cards": 2_972, "AMAZON_FASHION": 3_176, "Appliances": 2_277}
PAGES = {
    "Gift_Cards": 1_547,
    "Magazine_Subscriptions": 3_385 - 1_065,
    "ECInstruct_PRP_pool": 5_542,
    "Video_Games": 14_641,
}


@pytest.fixture(scope="module")
def found(real_data: Path) -> Read:
    return read(real_data, ALL, reviews=list(REVIEWS), metadata=list(PAGES), ratings=["Video_Games", *REVIEWS])


pytestmark = pytest.mark.slow


def test_each_table_has_the_rows_that_are_there(found: Read) -> None:
    assert Counter(row["category"] for row in found["reviews"]) == REVIEWS
    assert Counter(row["category"] for row in found["purchases"]) == REVIEWS | {"Video_Games": 78_363}
    products = Counter(row["catalogue"] for row in found["products"])
    assert (products["amazon"], products["google"], products["mave"]) == (1_363, 3_226, 4_511 + 721)
    pages = Counter(row["category"] for row in found["products"] if row["catalogue"] == "amazon_2018")
    assert pages == PAGES
    assert len(found["matches"]) == 1_300
    labels = Counter(row["label"] for row in found["judgements"])
    assert labels == {"E": 1_170, "S": 1_934, "C": 82, "I": 185}
    splits = Counter(row["split"] for row in found["questions"])
    assert splits == {"train": 8_950, "validation": 1_042, "test": 3_371}
    assert len({row["attribute"] for row in found["attributes"] if row["value"] is not None}) == 197
    assert {row["relation"] for row in found["relations"]} == {"also_buy", "also_view", "similar"}


def test_only_repeated_magazines_are_set_aside(found: Read) -> None:
    assert found.reasons() == {("meta_Magazine_Subscriptions.json.gz", "product stands there already"): 1_065}


def test_latin_letters_prices_and_markup_are_as_written(found: Read) -> None:
    products = found["products"]
    assert not any("\ufffd" in (row["title"] or "") for row in products if row["catalogue"] in ("amazon", "google"))
    assert {"0", "38.99"} <= {row["price"] for row in products if row["catalogue"] in ("amazon", "google")}
    titles = [row["title"] or "" for row in products if row["category"] == "Magazine_Subscriptions"]
    assert sum(title.startswith("<span") for title in titles) > 2_000


def test_an_evidence_stands_in_the_field_it_names(found: Read) -> None:
    texts = {row["product_id"]: row for row in found["products"] if row["catalogue"] == "mave"}
    valued = [row for row in found["attributes"] if row["value"] is not None]
    assert all(row["value"] in texts[row["product_id"]][row["field"]] for row in valued)
