"""AVE: exact forms, held-out attributes, and what may be cut."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ecellm.records import Sample
from ecellm.tasks.ave import TASK, pieces
from ecellm.tasks.task import Plan
from stores import store


def product(number: int, split: str, **texts: str) -> dict[str, Any]:
    return {"catalogue": "mave", "product_id": f"M{number}/{split}/positives", "fields": list(texts), **texts}


def attribute(number: int, split: str, name: str, place: int, value: str | None, field: str | None) -> dict[str, Any]:
    return {
        "product_id": f"M{number}/{split}/positives",
        "attribute": name,
        "position": place,
        "value": value,
        "field": field,
        "split": split,
    }


def plan(**quotas: int) -> Plan:
    parts = {("train", "IND"): 5, ("validation", "IND"): 5, ("test", "IND"): 5, ("test", "OOD"): 5}
    return Plan(1, parts, (), ("Scent",))  # type: ignore[arg-type]


def drawn(order: int = 1) -> list[Sample]:
    products, attributes = [], []
    for number in range(30):
        split = ("train", "validation", "test")[number % 3]
        products.append(product(number, split, title=f"Red Mug {number}", price="5"))
        attributes.append(attribute(number, split, "Color", 0, "Red", "title"))
        held = number % 5 == 0
        attributes.append(attribute(number, split, "Scent" if held else "Size", 1, None, None))
    return TASK.draw(store(products=products[::order], attributes=attributes[::order]), plan()).samples


def test_a_row_has_the_published_form() -> None:
    sample = next(sample for sample in drawn() if sample.domain == "IND")
    shown = json.loads(sample.input)
    assert list(shown) == ["product title", "product price", "target attributes"]
    assert shown["target attributes"] == "Color and Size"
    assert sample.input == json.dumps(shown)
    assert json.loads(sample.output) == [
        {"attribute": "color", "value": "red", "source": "product title"},
        {"attribute": "size", "value": "None", "source": "None"},
    ]


def test_no_in_domain_row_asks_for_a_held_out_attribute_and_ood_rows_ask_for_nothing_else() -> None:
    samples = drawn()
    for sample in samples:
        targets = json.loads(sample.input)["target attributes"]
        assert (targets == "Scent") if sample.domain == "OOD" else ("Scent" not in targets)
    assert {sample.split for sample in samples if sample.domain == "OOD"} == {"test"}


def test_row_order_does_not_matter() -> None:
    assert [sample.id for sample in drawn()] == [sample.id for sample in drawn(-1)]


@given(
    title=st.text(min_size=1, max_size=40),
    brand=st.text(max_size=10),
    names=st.lists(st.text("abcxyz /", min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
)
def test_pieces_join_to_the_input_and_mark_fields_and_targets(title: str, brand: str, names: list[str]) -> None:
    text = json.dumps({"product title": title, "product brand": brand, "target attributes": " and ".join(names)})
    sample = Sample("x", "AVE", "IND", "test", text, None, "[]")
    found = pieces(sample).input
    assert "".join(piece.text for piece in found) == text
    joined = " and ".join(names)
    assert [piece.text for piece in found if piece.mark == "attribute"] == joined.split(" and ")
    assert all(piece.rank is None for piece in found if piece.mark in (None, "attribute"))
