"""PRP: which pairs count, and the form of a row."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from ecellm.data.samplers import Draw, Plan
from ecellm.data.samplers.base import BALANCED
from ecellm.data.samplers.prp import EQUAL, SAMPLER
from ecellm.tasks.prp import OPTIONS, TASK
from ecellm.types import Example
from stores import store

PLAN = Plan(1, {("train", "IND"): 100, ("validation", "IND"): 100, ("test", "IND"): 100}, ("Home",))


def product(name: str, title: str | None, category: str = "Home") -> dict[str, Any]:
    return {"catalogue": "amazon_2018", "category": category, "product_id": name, "title": title}


def relation(one: str, other: str, kind: str, category: str = "Home") -> dict[str, Any]:
    return {"category": category, "product_id": one, "other_id": other, "relation": kind}


def draw(products: list[dict[str, Any]], relations: list[dict[str, Any]]) -> Draw:
    return SAMPLER.draw(store(products=products, relations=relations), PLAN)


def labels(examples: list[Example]) -> dict[tuple[str, ...], str]:
    return {tuple(json.loads(example.input).values()): example.output for example in examples}


def test_titles_are_sorted_and_each_relation_has_its_letter() -> None:
    products = [product(name, title) for name, title in (("1", "b"), ("2", "a"), ("3", "c"))]
    kinds = [relation("1", "2", "also_buy"), relation("3", "1", "also_view"), relation("2", "3", "similar")]
    found = draw(products, kinds)
    assert labels(found.examples) == {("a", "b"): "A", ("b", "c"): "B", ("a", "c"): "C"}
    example = found.examples[0]
    assert list(json.loads(example.input)) == ["Product 1:", "Product 2:"]
    assert json.loads(example.options or "") == OPTIONS


def test_a_pair_with_two_relations_equal_titles_or_a_markup_title_is_left_out_and_counted() -> None:
    titles = {"1": "a", "2": "b", "3": "a", "4": '<span class="x"', "5": None, "6": "getTime()"}
    products = [product(name, title) for name, title in titles.items()]
    kinds = [relation("1", "2", "also_buy"), relation("2", "3", "also_view"), relation("1", "3", "similar")]
    kinds += [relation("1", other, "also_buy") for other in ("4", "5", "6", "gone")]
    found = draw(products, kinds)
    assert found.examples == []
    assert dict(found.dropped) == {
        "pair has several relations": 1,
        "pair of equal titles": 1,
        "relation to a product without a usable title": 4,
    }


def test_titles_are_shown_as_they_are_and_braces_are_no_page_code() -> None:
    titles = (" Cup Holder {New Style} ", "Mug <b>blue</b>", "Size <5 lamp")
    products = [product(str(number), title) for number, title in enumerate(titles)]
    found = draw(products, [relation("0", "1", "also_buy"), relation("1", "2", "similar")])
    assert labels(found.examples) == {(titles[0], titles[1]): "A", (titles[1], titles[2]): "C"}
    assert found.dropped == {}


def shop(count: int, category: str, kinds: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """`count` pairs of one category, of the relations in turn."""
    names = {"A": "also_buy", "B": "also_view", "C": "similar"}
    products = [product(str(number), f"{category} {number}", category) for number in range(2 * count)]
    pairs = [relation(str(2 * n), str(2 * n + 1), names[kinds[n % len(kinds)]], category) for n in range(count)]
    return products, pairs


def test_categories_give_equal_shares_while_they_last() -> None:
    large, small = shop(3000, "Home", "AAAB"), shop(1000, "Garden", "AAAB")
    plan = Plan(1, {("train", "IND"): 300, ("test", "IND"): 60}, ("Home", "Garden"))
    data = store(products=large[0] + small[0], relations=large[1] + small[1])
    examples = SAMPLER.draw(data, plan).examples
    for split, quota in (("train", 300), ("test", 60)):
        found = [example for example in examples if example.split == split][:quota]
        assert Counter(example.category for example in found) == {"Home": quota / 2, "Garden": quota / 2}


def test_balanced_labels_take_from_the_categories_that_have_them() -> None:
    """As in the real sample: one category has no similar pairs."""
    large, small = shop(2000, "Home", "AB"), shop(600, "Garden", "ABC")
    plan = Plan(1, {("train", "IND"): 300}, ("Home", "Garden"), labels=BALANCED)
    examples = SAMPLER.draw(store(products=large[0] + small[0], relations=large[1] + small[1]), plan).examples[:300]
    assert Counter(example.output for example in examples) == {"A": 100, "B": 100, "C": 100}
    first = Counter((example.output, example.category) for example in examples)
    assert first["A", "Home"] == first["A", "Garden"] == 50 and first["C", "Garden"] == 100


def test_a_users_own_splits_are_kept_with_every_row() -> None:
    products = [product("1", "a"), product("2", "b"), product("3", "a")]
    splits = ("train", "train", "validation", "test")
    pairs = [{**relation("1", "2", "also_buy"), "split": split} for split in splits]
    pairs += [{**relation("2", "1", "similar"), "split": "test"}, {**relation("1", "3", "similar"), "split": "test"}]
    data = store(products=products, relations=pairs)
    found = SAMPLER.draw(data, replace(PLAN, given_split=True))
    assert sorted((example.split, example.output) for example in found.examples) == [
        ("test", "A"),
        ("test", "C"),
        ("train", "A"),
        ("train", "A"),
        ("validation", "A"),
    ]
    assert found.dropped == {EQUAL: 1}


def test_both_directions_of_one_relation_are_one_pair_and_order_does_not_matter() -> None:
    products = [product(str(number), f"title {number}") for number in range(12)]
    kinds = [relation(str(one), str(other), "also_buy") for one in range(12) for other in range(12) if one != other]
    found, other_way = draw(products, kinds), draw(products[::-1], kinds[::-1])
    assert len(found.examples) == 66
    assert [example.id for example in found.examples] == [example.id for example in other_way.examples]
    assert {example.split for example in found.examples} == {"train", "validation", "test"}


def test_pieces_join_to_the_text() -> None:
    products = [product("1", 'a "quoted" título'), product("2", "b\nline")]
    (example,) = draw(products, [relation("1", "2", "similar")]).examples
    parts = TASK.pieces(example)
    assert "".join(piece.text for piece in parts.input) == example.input
    assert "".join(piece.text for piece in parts.options) == example.options
    assert [piece.mark for piece in parts.options if piece.mark] == ["A", "B", "C"]
