"""Shares of answers, and domains told by brand or time."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.data.samplers import Plan, mpc, prp, psi, sa, sr
from ecellm.data.samplers.base import BALANCED, BRAND, NATURAL, STRATIFIED, TIME
from ecellm.data.samplers.drawing import Drawn
from ecellm.types import Example
from judged_rows import esci, judgement
from stores import store

QUOTAS: Any = {("train", "IND"): 100, ("validation", "IND"): 20, ("test", "IND"): 20, ("test", "OOD"): 60}
DAY = 86_400


def answers(drawn: Drawn) -> list[str]:
    return [row["answer"] for row in drawn.rows("train", "IND")]


@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=80), st.sampled_from([NATURAL, STRATIFIED, BALANCED]))
def test_every_beginning_has_the_answers_in_their_shares(labels: list[str], how: str) -> None:
    rows = [
        {"order": f"{place:03}", "category": "", "answer": label, "split": "train"}
        for place, label in enumerate(labels)
    ]
    plan = Plan(1, {("train", "IND"): 100}, labels=how)
    there = Counter(labels)
    shown = answers(Drawn(plan, {("train", ""): rows}, {("", label): count for label, count in there.items()}))
    assert Counter(shown) == there
    if how == NATURAL:
        assert shown == labels
    for length in range(1, len(shown) + 1):
        begun = Counter(shown[:length])
        for label, count in there.items():
            if how == STRATIFIED:
                assert abs(begun[label] - length * count / len(labels)) < 2
            if how == BALANCED and begun[label] < count:
                assert all(begun[label] >= begun[other] - 1 for other in there)


def test_balanced_judgements_are_as_many_of_each_class_while_they_last() -> None:
    rows = [judgement(f"query {number}", f"p{number}", "EEEEEEESCI"[number % 10]) for number in range(400)]
    natural, balanced = (
        Counter(
            example.output
            for example in islice(
                mpc.SAMPLER.draw(esci(rows), Plan(1, {("train", "IND"): 80}, labels=how)).examples, 80
            )
        )
        for how in (NATURAL, BALANCED)
    )
    assert set(balanced.values()) == {20}
    assert natural[mpc.OPTIONS[0]] > 45
    yes = [example.output for example in psi.SAMPLER.draw(esci(rows), Plan(1, QUOTAS, labels=BALANCED)).examples]
    assert yes[:60].count("yes") == 30


def review(number: int, **more: Any) -> dict[str, Any]:
    text = f"this is review number {number} and it has more than ten words"
    row = {"category": "Home", "product_id": f"P{number % 7}", "user_id": "U", "stars": 5, "text": text, "time": 0}
    return {**row, **more}


def parts(examples: list[Example]) -> dict[str, list[Example]]:
    return {domain: [example for example in examples if example.domain == domain] for domain in ("IND", "OOD")}


def test_reviews_from_a_day_on_are_out_of_domain() -> None:
    rows = [review(number, time=number * DAY) for number in range(200)]
    plan = Plan(1, QUOTAS, ("Home",), ("1970-05-01",), by=TIME)
    found = parts(sa.SAMPLER.draw(store(reviews=rows), plan).examples)
    numbers = {domain: {int(example.input.split()[4]) for example in found[domain]} for domain in found}
    assert numbers["OOD"] == set(range(120, 200))
    assert max(numbers["IND"]) < 120 and {example.split for example in found["OOD"]} == {"test"}


def test_reviews_of_brands_held_out_are_out_of_domain_and_an_unknown_brand_is_not() -> None:
    rows = [review(number) for number in range(200)]
    brands = {"P0": "Acme", "P1": "Bolt", "P2": None}
    products = [
        {"catalogue": "amazon_2018", "category": "Home", "product_id": name, "title": name, "brand": brand}
        for name, brand in brands.items()
    ]
    plan = Plan(1, QUOTAS, ("Home",), ("Acme", "Cone"), by=BRAND)
    found = parts(sa.SAMPLER.draw(store(reviews=rows, products=products), plan).examples)
    assert {example.products for example in found["OOD"]} == {("amazon_2018|P0",)}
    assert len({example.products for example in found["IND"]}) == 6


def test_out_of_domain_rows_fill_their_quota_from_all_splits_the_tested_ones_first() -> None:
    rows = [review(number, category=("Home", "Tools")[number % 2]) for number in range(1000)]
    few, many = (
        [
            example.input
            for example in sa.SAMPLER.draw(
                store(reviews=rows), Plan(1, {("test", "OOD"): count}, ("Home",), ("Tools",))
            ).examples
        ]
        for count in (20, 200)
    )
    assert len(many) == 320 and few == many[: len(few)]
    as_in_domain = sa.SAMPLER.draw(store(reviews=rows), Plan(1, {("test", "IND"): 100}, ("Tools",))).examples
    assert set(many[: len(as_in_domain)]) == {example.input for example in as_in_domain}


def test_pairs_are_out_of_domain_by_brand_where_both_products_are_and_left_out_where_one_is() -> None:
    products = [
        {
            "catalogue": "amazon_2018",
            "category": "Home",
            "product_id": str(number),
            "title": f"title {number}",
            "brand": "Acme" if number < 8 else "Bolt",
        }
        for number in range(20)
    ]
    pairs = [
        {"category": "Home", "product_id": str(one), "other_id": str(other), "relation": "also_buy"}
        for one in range(20)
        for other in range(one)
    ]
    found = prp.SAMPLER.draw(
        store(products=products, relations=pairs), Plan(1, QUOTAS, ("Home",), ("Acme",), by=BRAND)
    )
    shown = {
        domain: {int(text.split()[1]) < 8 for example in rows for text in json.loads(example.input).values()}
        for domain, rows in parts(found.examples).items()
    }
    assert shown == {"OOD": {True}, "IND": {False}}
    assert len(parts(found.examples)["OOD"]) == 28
    assert found.dropped["pair has one product out of domain"] == 8 * 12


@pytest.mark.parametrize(("by", "held"), [(TIME, ("1970-01-11",)), (BRAND, ("Bolt",))])
def test_shops_of_other_brands_or_times_share_no_purchase(by: str, held: tuple[str, ...]) -> None:
    """Brand: items 40 to 79 are Bolt's. Time: from the tenth day on."""
    products = [
        {
            "catalogue": "amazon_2018",
            "category": "Games",
            "product_id": f"P{number:02}",
            "title": f"Game {number}",
            "brand": "Bolt" if number >= 40 else "Acme",
        }
        for number in range(80)
    ]
    bought = [
        {
            "category": "Games",
            "product_id": f"P{(user * 3 + step) % 40 + shelf * 40:02}",
            "user_id": f"U{user:02}",
            "time": (step + shelf * 10) * DAY,
        }
        for user in range(30)
        for step in range(10)
        for shelf in range(2)
    ]
    plan = Plan(1, QUOTAS, ("Games",), held, by=by)
    found = parts(sr.SAMPLER.draw(store(products=products, purchases=bought), plan).examples)
    bolt = {
        domain: {int(name[-2:]) >= 40 for example in found[domain] for name in example.products} for domain in found
    }
    assert bolt == {"IND": {False}, "OOD": {True}}
    assert {example.split for example in found["OOD"]} == {"test"}
    everything = sr.SAMPLER.draw(
        store(products=products, purchases=bought), replace(plan, by="category", out_of_domain=())
    )
    assert {int(name[-2:]) >= 40 for example in everything.examples for name in example.products} == {True, False}
