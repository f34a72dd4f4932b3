"""PRP: which pairs count, and the form of a row."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from ecellm.records import Sample
from ecellm.tasks.prp import EQUAL, OPTIONS, TASK
from ecellm.tasks.task import BALANCED, Draw, Plan
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


def test_titles_are_shown_as_they_are_and_braces_are_no_page_code() -> None:
    titles = (" Cup Holder {New Style} ", "Mug <b>blue</b>", "Size <5 lamp")
    products = [product(str(number), title) for number, title in enumerate(titles)]
    found = draw(products, [relation("0", "1", "also_buy"), relation("1", "2", "similar")])
    assert labels(found.samples) == {(titles[0], titles[1]): "A", (titles[1], titles[2]): "C"}
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
    samples = TASK.draw(data, plan).samples
    for split, quota in (("train", 300), ("test", 60)):
        found = [sample for sample in samples if sample.split == split][:quota]
        assert Counter(sample.category for sample in found) == {"Home": quota / 2, "Garden": quota / 2}


def test_balanced_labels_take_from_the_categories_that_have_them() -> None:
    """As in the real sample: one category has no similar pairs."""
    large, small = shop(2000, "Home", "AB"), shop(600, "Garden", "ABC")
    plan = Plan(1, {("train", "IND"): 300}, ("Home", "Garden"), labels=BALANCED)
    samples = TASK.draw(store(products=large[0] + small[0], relations=large[1] + small[1]), plan).samples[:300]
    assert Counter(sample.output for sample in samples) == {"A": 100, "B": 100, "C": 100}
    first = Counter((sample.output, sample.category) for sample in samples)
    assert first["A", "Home"] == first["A", "Garden"] == 50 and first["C", "Garden"] == 100


def test_a_users_own_splits_are_kept_with_every_row() -> None:
    products = [product("1", "a"), product("2", "b"), product("3", "a")]
    splits = ("train", "train", "validation", "test")
    pairs = [{**relation("1", "2", "also_buy"), "split": split} for split in splits]
    pairs += [{**relation("2", "1", "similar"), "split": "test"}, {**relation("1", "3", "similar"), "split": "test"}]
    data = store(products=products, relations=pairs)
    found = TASK.draw(data, replace(PLAN, given_split=True))
    assert sorted((sample.split, sample.output) for sample in found.samples) == [
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
