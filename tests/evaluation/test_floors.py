"""Trivial answers and the best of them."""

import json

import pytest
from rows import answers, lists, purchases, relations, row, stars, triple, values, yes_no
from test_scoring import SameText

from ecellm.evaluation.floors import best_floors, random_answers, trivial_answers
from ecellm.evaluation.scoring import score_answers
from ecellm.tasks import TASKS


def floors(samples: list, scoring: str = "strict") -> dict[str, tuple[float, str]]:
    best = best_floors(TASKS[samples[0].task], scoring, samples, SameText(), 1)
    return {metric: (floor.value, floor.name) for metric, floor in best.items()}


def published_value(samples: list, order: list[str]) -> float:
    scored = score_answers(TASKS["QPR"], "published", samples, [order] * len(samples), None)
    return scored.values()["ndcg"]


def test_yes_no_takes_the_best_constant_for_each_metric() -> None:
    found = floors(yes_no(["yes", "no", "no", "no"], "PSI"))
    assert found["f1"] == (pytest.approx(0.4), "always yes")
    assert found["accuracy"] == (0.75, "always no")
    assert found["recall"] == (1.0, "always yes")


def test_letters_take_the_majority_by_accuracy() -> None:
    found = floors(stars("AAABE"))
    assert found["accuracy"] == (0.6, "always A")
    assert floors(relations("CCCA"))["accuracy"] == (0.75, "always C")


def test_random_is_the_mean_over_draws() -> None:
    samples = stars("ABCDE" * 40)
    found = floors(samples)["macro_f1"]
    assert found[1] == "random" and found[0] == pytest.approx(0.2, abs=0.03)
    assert random_answers(TASKS["SA"], samples, 1) == random_answers(TASKS["SA"], samples, 1)
    assert random_answers(TASKS["SA"], samples, 1) != random_answers(TASKS["SA"], samples, 2)


def test_sequential_recommendation_tries_the_first_letter_only() -> None:
    samples = purchases("BBBB")
    assert list(trivial_answers(TASKS["SR"], "strict", samples)) == ["always A"]
    assert floors(samples)["hr@1"][1] == "random"


def test_ranking_floors_name_every_product_strictly() -> None:
    samples = lists(["SE", "ISE", "EC"])
    task = TASKS["QPR"]
    strict = trivial_answers(task, "strict", samples)
    assert strict["always C,B,A"] == [["B", "A"], ["C", "B", "A"], ["B", "A"]]
    assert "always B,A" not in strict
    published = trivial_answers(task, "published", samples)
    assert published["always B,A"] == [["B", "A"]] * 3 and published["always C"] == [[], ["C"], []]
    # Every second product is the best one: naming it alone is enough.
    naming_one = published_value(lists(["IEC", "CEI"]), ["B"])
    assert naming_one == pytest.approx(1.0, abs=1e-5)
    assert floors(lists(["IEC", "CEI"]), "published")["ndcg"][0] >= naming_one


def test_ranking_by_words_shared_with_the_query() -> None:
    samples = lists(["IES"] * 3, titles=["red pot", "Blue, mug!", "blue pot"])
    assert trivial_answers(TASKS["QPR"], "strict", samples)["most similar title first"] == [["B", "C", "A"]] * 3


def test_no_value_for_any_attribute() -> None:
    samples = values([[triple("color", "None")], [triple("size", "9")]])
    assert floors(samples)["f1"] == (0.5, "None for all")


def test_a_snippet_for_an_answer() -> None:
    found = trivial_answers(TASKS["AG"], "strict", answers(["x"]))
    assert found == {"first snippet": ["It is blue."], "most similar snippet": ["The mug is very safe."]}
    empty = row("AG", 1, "x", json.dumps({"question": "?", "document": []}))
    assert set(map(tuple, trivial_answers(TASKS["AG"], "strict", [empty]).values())) == {("",)}
