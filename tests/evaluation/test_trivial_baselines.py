"""Trivial baselines and the best of them."""

import json

import pytest
from test_scoring import SameText

from ecellm.evaluation.trivial_baselines import best_trivial_scores, random_answers, trivial_answers
from ecellm.tasks import TASKS
from ecellm.tasks.scoring import score_answers
from published_rows import answers, lists, purchases, relations, row, stars, triple, values, yes_no


def trivial_scores(examples: list, scoring: str = "strict") -> dict[str, tuple[float, str]]:
    best = best_trivial_scores(TASKS[examples[0].task], scoring, examples, SameText(), 1)
    return {metric: (found.value, found.name) for metric, found in best.items()}


def published_value(examples: list, order: list[str]) -> float:
    scored = score_answers(TASKS["QPR"], "published", examples, [order] * len(examples), None)
    return scored.values()["ndcg"]


def test_yes_no_takes_the_best_constant_for_each_metric() -> None:
    found = trivial_scores(yes_no(["yes", "no", "no", "no"], "PSI"))
    assert found["f1"] == (pytest.approx(0.4), "always yes")
    assert found["accuracy"] == (0.75, "always no")
    assert found["recall"] == (1.0, "always yes")


def test_letters_take_the_majority_by_accuracy() -> None:
    found = trivial_scores(stars("AAABE"))
    assert found["accuracy"] == (0.6, "always A")
    assert trivial_scores(relations("CCCA"))["accuracy"] == (0.75, "always C")


def test_random_is_the_mean_over_draws() -> None:
    examples = stars("ABCDE" * 40)
    found = trivial_scores(examples)["macro_f1"]
    assert found[1] == "random" and found[0] == pytest.approx(0.2, abs=0.03)
    assert random_answers(TASKS["SA"], examples, 1) == random_answers(TASKS["SA"], examples, 1)
    assert random_answers(TASKS["SA"], examples, 1) != random_answers(TASKS["SA"], examples, 2)


def test_sequential_recommendation_tries_the_first_letter_only() -> None:
    examples = purchases("BBBB")
    assert list(trivial_answers(TASKS["SR"], "strict", examples)) == ["always A"]
    assert trivial_scores(examples)["hr@1"][1] == "random"


def test_trivial_rankings_name_every_product_strictly() -> None:
    examples = lists(["SE", "ISE", "EC"])
    task = TASKS["QPR"]
    strict = trivial_answers(task, "strict", examples)
    assert strict["always C,B,A"] == [["B", "A"], ["C", "B", "A"], ["B", "A"]]
    assert "always B,A" not in strict
    published = trivial_answers(task, "published", examples)
    assert published["always B,A"] == [["B", "A"]] * 3 and published["always C"] == [[], ["C"], []]
    # Every second product is the best one: naming it alone is enough.
    naming_one = published_value(lists(["IEC", "CEI"]), ["B"])
    assert naming_one == pytest.approx(1.0, abs=1e-5)
    assert trivial_scores(lists(["IEC", "CEI"]), "published")["ndcg"][0] >= naming_one


def test_ranking_by_words_shared_with_the_query() -> None:
    examples = lists(["IES"] * 3, titles=["red pot", "Blue, mug!", "blue pot"])
    assert trivial_answers(TASKS["QPR"], "strict", examples)["most similar title first"] == [["B", "C", "A"]] * 3


def test_no_value_for_any_attribute() -> None:
    examples = values([[triple("color", "None")], [triple("size", "9")]])
    assert trivial_scores(examples)["f1"] == (0.5, "None for all")


def test_a_snippet_for_an_answer() -> None:
    found = trivial_answers(TASKS["AG"], "strict", answers(["x"]))
    assert found == {"first snippet": ["It is blue."], "most similar snippet": ["The mug is very safe."]}
    empty = row("AG", 1, "x", json.dumps({"question": "?", "document": []}))
    assert set(map(tuple, trivial_answers(TASKS["AG"], "strict", [empty]).values())) == {("",)}
