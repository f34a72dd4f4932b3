"""MAVE: products with joined paragraphs, attributes with one row per evidence."""

from pathlib import Path
from typing import Any

import pytest
from source_files import described, mave_file, read, write_mave

from ecellm.data.config import Sources

pytestmark = pytest.mark.usefixtures("engine")

MAVE = Sources(mave="mave")


def first(root: Path, row: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read a product as train's only positive; return it and its attributes."""
    write_mave(root, {("train", "positives"): [row]})
    found = read(root, MAVE)
    key = f"{row['id']}/train/positives"
    attributes = [one for one in found["attributes"] if one["product_id"] == key]
    return found.product(key), sorted(attributes, key=lambda one: (one["position"], one["value"] or ""))


def test_paragraphs_of_a_source_are_joined_and_sources_keep_their_order(tmp_path: Path) -> None:
    paragraphs = [
        ("feature", "Light"),
        ("title", "Oak comb"),
        ("feature", "Strong"),
        ("price", "$4"),
        ("title", "II"),
    ]
    product, _ = first(tmp_path, described(paragraphs=paragraphs, attributes={"Size": []}))
    assert product["title"] == "Oak comb, II"
    assert product["feature"] == "Light, Strong"
    assert product["price"] == "$4"
    assert product["description"] is None and product["brand"] is None
    assert product["fields"] == ["feature", "title", "price"]
    assert (product["catalogue"], product["category"]) == ("mave", "Combs")


def test_an_empty_paragraph_makes_no_field(tmp_path: Path) -> None:
    paragraphs = [("brand", ""), ("title", "Oak comb"), ("feature", ""), ("feature", "Light")]
    product, attributes = first(tmp_path, described(paragraphs=paragraphs, attributes={"Material": [("Oak", 1)]}))
    assert product["fields"] == ["title", "feature"]
    assert product["feature"] == "Light" and product["brand"] is None
    assert attributes[0]["field"] == "title"  # evidences count paragraphs, empty ones too


def test_each_evidence_is_a_row_and_an_attribute_without_one_is_null(tmp_path: Path) -> None:
    attributes = {"Material": [("Oak", 0), ("Wood", 1)], "Size": [], "Color": [("Light", 1)]}
    paragraphs = [("title", "Oak comb"), ("feature", "Light Wood")]
    _, found = first(tmp_path, described(paragraphs=paragraphs, attributes=attributes))
    shown = [(row["position"], row["attribute"], row["value"], row["field"]) for row in found]
    assert shown == [
        (0, "Material", "Oak", "title"),
        (0, "Material", "Wood", "feature"),
        (1, "Size", None, None),
        (2, "Color", "Light", "feature"),
    ]
    assert {row["category"] for row in found} == {"Combs"}


def test_a_missing_list_of_evidences_is_an_empty_one(tmp_path: Path) -> None:
    row = described(attributes={})
    row["attributes"] = [{"key": "Size"}, {"key": "Color", "evidences": None}]
    _, found = first(tmp_path, row)
    assert [(one["attribute"], one["value"]) for one in found] == [("Size", None), ("Color", None)]


def test_the_sources_val_is_our_validation_and_kinds_stay_apart(tmp_path: Path) -> None:
    files = {
        (split, kind): [described("M1", attributes={"Size": []})]
        for split in ("train", "val", "test")
        for kind in ("positives", "negatives")
    }
    write_mave(tmp_path, files)
    found = read(tmp_path, MAVE)
    assert {row["split"] for row in found["attributes"]} == {"train", "validation", "test"}
    assert {row["product_id"] for row in found["products"]} == {
        f"M1/{split}/{kind}" for split in ("train", "validation", "test") for kind in ("positives", "negatives")
    }
    assert found.rejects == []


def test_bad_products_are_set_aside_with_line_and_reason(tmp_path: Path) -> None:
    nameless = described("M7")
    nameless["attributes"][0]["key"] = None
    valueless = described("M8")
    valueless["attributes"][0]["evidences"][0]["value"] = None
    lines = [
        described("M1"),
        b'{"id": "M2", "paragraphs": [',
        described("M3", attributes={"Material": [("Oak", 9)]}),
        described("M4", attributes={"Material": [("Oak", -1)]}),
        described("M5", paragraphs=[("review", "Oak")]),
        described("M6") | {"paragraphs": "Oak comb"},
        nameless,
        valueless,
        described(""),
        described("M9", category=None),
    ]
    lines += [
        described("M11", paragraphs=[("title", {"text": "Oak comb"})]),  # type: ignore[list-item]
        described("M12", attributes={"Material": [(["Oak"], 0)]}),  # type: ignore[list-item]
    ]
    write_mave(tmp_path, {("train", "positives"): lines})
    found = read(tmp_path, MAVE)
    kept = {row["product_id"] for row in found["products"] if row["product_id"].endswith("train/positives")}
    assert kept == {"M1/train/positives", "M9/train/positives"}
    assert found.places() == {
        2: "not valid JSON",
        3: "an evidence has no value or no paragraph",
        4: "an evidence has no value or no paragraph",
        5: "a paragraph has no text or no known source",
        6: "paragraphs has the wrong type",
        7: "an attribute has no name",
        8: "an evidence has no value or no paragraph",
        9: "id is missing",
        11: "paragraphs has the wrong type",
        12: "attributes has the wrong type",
    }
    file = mave_file(tmp_path).relative_to(tmp_path).as_posix()
    assert {row["file"] for row in found.rejects} == {file}


def test_of_a_repeated_product_one_stays_whatever_the_order(tmp_path: Path) -> None:
    twice = [described("M1", paragraphs=[("title", f"Oak comb {number}")]) for number in range(6)]
    kept = set()
    for order in (twice, twice[::-1], twice[4:] + twice[:4]):
        write_mave(tmp_path, {("train", "positives"): order})
        found = read(tmp_path, MAVE)
        kept.add(found.product("M1/train/positives")["title"])
        own = [row for row in found["attributes"] if row["product_id"] == "M1/train/positives"]
        assert len(own) == 1
        assert found.reasons() == {("mave_positives.jsonl", "product stands there already"): 5}
    assert len(kept) == 1
