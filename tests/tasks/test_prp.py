"""PRP: which pairs count, and the form of a row."""

import json
from typing import Any

from ecellm.records import Sample
from ecellm.tasks.prp import OPTIONS, TASK
from ecellm.tasks.task import Draw, Plan
from stores import store

PLAN = Plan(1, {("train", "IND"): 100, ("validation", "IND"): 100, ("test", "IND"): 100}, ("Home",))


def product(name: str, title: str | None, category: str = "Home") -> dict[str, Any]:
    return {"catalogue": "amazon_2018", "category": category, "product_id": name, "title": title}


def relation(one: str, other: str, kind: str, category: str = "Home") -> dict[str, Any]:
    return {"category": category, "product_id": one, "other_id": other, "relation": kind}


def draw(products: list[dict[str, Any]], relations: list[dict[str, Any]]) -> Draw:
    return TASK.draw(store(products=products, relations=relations), PLAN)


def labels(samples: list[Sample]) -> dict[tuple[str, ...], str]:
    return {tuple(json.loads(sample.input).values()): sample.output for sample in samples}


def test_titles_are_sorted_and_each_relation_has_its_letter() -> None:
    products = [product(name, title) for name, title in (("1", "b"), ("2", "a"), ("3", "c"))]
    kinds = [relation("1", "2", "also_buy"), relation("3", "1", "also_view"), relation("2", "3", "similar")]
    found = draw(products, kinds)
    assert labels(found.samples) == {("a", "b"): "A", ("b", "c"): "B", ("a", "c"): "C"}
    sample = found.samples[0]
    assert list(json.loads(sample.input)) == ["Product 1:", "Product 2:"]
    assert json.loads(sample.options or "") == OPTIONS


def test_a_pair_with_two_relations_equal_titles_or_a_markup_title_is_left_out_and_counted() -> None:
    titles = {"1": "a", "2": "b", "3": "a", "4": '<span class="x"', "5": None, "6": "getTime()"}
    products = [product(name, title) for name, title in titles.items()]
    kinds = [relation("1", "2", "also_buy"), relation("2", "3", "also_view"), relation("1", "3", "similar")]
    kinds += [relation("1", other, "also_buy") for other in ("4", "5", "6", "gone")]
    found = draw(products, kinds)
    assert found.samples == []
    assert dict(found.dropped) == {
        "pair has several relations": 1,
        "pair of equal titles": 1,
        "relation to a product without a usable title": 4,
    }


def test_both_directions_of_one_relation_are_one_pair_and_order_does_not_matter() -> None:
    products = [product(str(number), f"title {number}") for number in range(12)]
    kinds = [relation(str(one), str(other), "also_buy") for one in range(12) for other in range(12) if one != other]
    found, other_way = draw(products, kinds), draw(products[::-1], kinds[::-1])
    assert len(found.samples) == 66
    assert [sample.id for sample in found.samples] == [sample.id for sample in other_way.samples]
    assert {sample.split for sample in found.samples} == {"train", "validation", "test"}


def test_pieces_join_to_the_text() -> None:
    products = [product("1", 'a "quoted" título'), product("2", "b\nline")]
    (sample,) = draw(products, [relation("1", "2", "similar")]).samples
    parts = TASK.pieces(sample)
    assert "".join(piece.text for piece in parts.input) == sample.input
    assert "".join(piece.text for piece in parts.options) == sample.options
    assert [piece.mark for piece in parts.options if piece.mark] == ["A", "B", "C"]
