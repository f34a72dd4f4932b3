"""AVE: exact forms, held-out attributes, and what may be cut."""

import json
from typing import Any

from ecellm.data.samplers import Plan
from ecellm.data.samplers.ave import SAMPLER
from ecellm.types import Example
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


def drawn(order: int = 1) -> list[Example]:
    products, attributes = [], []
    for number in range(30):
        split = ("train", "validation", "test")[number % 3]
        products.append(product(number, split, title=f"Red Mug {number}", price="5"))
        attributes.append(attribute(number, split, "Color", 0, "Red", "title"))
        held = number % 5 == 0
        attributes.append(attribute(number, split, "Scent" if held else "Size", 1, None, None))
    return SAMPLER.draw(store(products=products[::order], attributes=attributes[::order]), plan()).examples


def test_a_row_has_the_published_form() -> None:
    example = next(example for example in drawn() if example.domain == "IND")
    shown = json.loads(example.input)
    assert list(shown) == ["product title", "product price", "target attributes"]
    assert shown["target attributes"] == "Color and Size"
    assert example.input == json.dumps(shown)
    assert json.loads(example.output) == [
        {"attribute": "color", "value": "red", "source": "product title"},
        {"attribute": "size", "value": "None", "source": "None"},
    ]


def test_no_in_domain_row_asks_for_a_held_out_attribute_and_ood_rows_ask_for_nothing_else() -> None:
    examples = drawn()
    for example in examples:
        targets = json.loads(example.input)["target attributes"]
        assert (targets == "Scent") if example.domain == "OOD" else ("Scent" not in targets)
    assert {example.split for example in examples if example.domain == "OOD"} == {"test"}


def test_row_order_does_not_matter() -> None:
    assert [example.id for example in drawn()] == [example.id for example in drawn(-1)]
