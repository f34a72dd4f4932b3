"""QPR: the published form of a list, which lists are drawn, and their right order."""

import json
from collections import Counter
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.data.samplers import Plan
from ecellm.data.samplers.qpr import FEW_LABELS, MOST_PER_QUERY, NOT_SMALL, SAMPLER
from ecellm.tasks.qpr import LABELS
from ecellm.types import Example
from judged_rows import esci, judgement, queries

TRAIN: Any = {("train", "IND"): 1000}


def draw(rows: list[dict[str, Any]], quota: int = 1000, titles: dict[str, str | None] | None = None) -> list[Example]:
    return SAMPLER.draw(esci(rows, titles), Plan(1, {("train", "IND"): quota})).examples


def letters(example: Example) -> list[str]:
    return [shown[:3] for shown in json.loads(example.input)["product list"]]


def test_a_list_reads_as_the_published_rows() -> None:
    (found,) = draw(
        [judgement("usb  hub", "p", "E"), judgement("usb  hub", "q", "I")], titles={"p": "Hub®", "q": "Tea"}
    )
    wanted = {
        '{"query": "usb  hub", "product list": ["A: Hub", "B: Tea"]}': ("A,B", ("E", "I"), ("esci|p", "esci|q")),
        '{"query": "usb  hub", "product list": ["A: Tea", "B: Hub"]}': ("B,A", ("I", "E"), ("esci|q", "esci|p")),
    }
    assert (found.output, found.labels, found.products) == wanted[found.input]
    assert sorted(found.facts) == ["judgement|usb hub|hub", "judgement|usb hub|tea"]
    assert found.options is None


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from("mno"), st.sampled_from("pqrstuvw"), st.sampled_from("ESCI")), max_size=40))
def test_every_list_has_distinct_labels_ordered_best_first_and_no_list_comes_twice(rows: list[Any]) -> None:
    found = draw([judgement(query, name, label) for query, name, label in rows])
    for example in found:
        assert example.labels is not None
        size = len(example.labels)
        assert 2 <= size <= 4 and len(set(example.labels)) == size
        assert letters(example) == [f"{letter}: " for letter in "ABCD"[:size]]
        ranked = [example.labels["ABCD".index(letter)] for letter in example.output.split(",")]
        assert ranked == sorted(example.labels, key=LABELS.index)
        judgements = {(query, f"esci|{name}"): label for query, name, label in sorted(rows, reverse=True)}
        query = json.loads(example.input)["query"]
        assert example.labels == tuple(judgements[query, key] for key in example.products)
    shown = [(json.loads(example.input)["query"], frozenset(example.products)) for example in found]
    assert len(set(shown)) == len(shown)


def test_all_lists_of_a_query_with_few_products_are_drawn() -> None:
    rows = [judgement("mug", f"{label}{number}", label) for label in "EI" for number in range(2)]
    found = draw([*rows, judgement("mug", "S0", "S", small=False)])
    pairs = {frozenset(pair) for pair in product(("esci|E0", "esci|E1"), ("esci|I0", "esci|I1"))}
    assert {frozenset(example.products) for example in found} == pairs and len(found) == 4


def test_a_query_with_many_products_gives_some_of_its_lists() -> None:
    found = draw([judgement("mug", f"{label}{number}", label) for label in "ESCI" for number in range(10)])
    assert len(found) == MOST_PER_QUERY
    assert {len(example.labels or ()) for example in found} == {2, 3, 4}


def test_queries_take_turns() -> None:
    rows = [judgement(f"q{n}", f"{label}{n}{k}", label) for n in range(30) for label in "ES" for k in range(3)]
    few = [json.loads(example.input)["query"] for example in draw(rows, quota=4)]
    assert len(few) == 4 + 2 + 20 and len(set(few)) > 15
    every = Counter(json.loads(example.input)["query"] for example in draw(rows))
    assert set(every.values()) == {9}, "each query gives all of its lists in the end"


def test_a_length_beyond_a_querys_labels_is_drawn_again_with_another_query() -> None:
    """With 2, 3 and 4 labels one, two and three of three draws give a list, and each length is as likely."""
    rows = [row for labels in ("ES", "ESC", "ESCI") for row in named(queries(900, labels=labels), labels)]
    found = draw(rows, quota=400)[:400]
    shares = Counter((kind_of(example), len(example.labels or ())) for example in found)
    for labels in (2, 3, 4):
        for length in range(2, labels + 1):
            assert abs(shares[labels, length] - 400 / 6) < 25, shares
    assert sum(shares.values()) == sum(shares[labels, n] for labels in (2, 3, 4) for n in range(2, labels + 1))


def named(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [{**row, "query": f"{kind} {row['query']}", "product_id": f"{kind}{row['product_id']}"} for row in rows]


def kind_of(example: Example) -> int:
    return len(json.loads(example.input)["query"].split()[0])


def test_one_label_or_one_title_makes_no_list() -> None:
    assert draw([judgement("mug", "p", "E"), judgement("mug", "q", "E")]) == []
    assert draw([judgement("mug", "p", "E"), judgement("mug", "q", "I")], titles={"p": "Mug", "q": "Mug"}) == []
    assert draw([judgement("mug", "p", "E"), judgement("mug", "q", "I")], titles={"q": "日本"}) == []


def test_rows_outside_the_small_version_and_queries_of_one_label_are_not_ranked_and_counted() -> None:
    judged = [
        *(judgement("mug", "p", "E"), judgement("mug", "q", "I", small=False)),
        *(judgement("pot", "p", "E"), judgement("pot", "q", "E")),
        *(judgement("pan", "p", "E"), judgement("pan", "q", "I")),
    ]
    found = SAMPLER.draw(esci(judged), Plan(1, TRAIN))
    assert {json.loads(example.input)["query"] for example in found.examples} == {"pan"}
    assert found.dropped == {NOT_SMALL: 1, FEW_LABELS: 3}
