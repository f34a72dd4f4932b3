"""ExtractGPT's measure of attribute values, and the views of test rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_files import TEST, ditto, extractgpt, product

from ecellm.data.dataset import Dataset
from ecellm.experiments.benchmarks.converting import convert
from ecellm.experiments.benchmarks.extractgpt import MOST_ATTRIBUTES
from ecellm.experiments.benchmarks.measures import APART, EVERY, PUBLISHED, cased, crossing, views
from ecellm.experiments.benchmarks.registry import benchmark

Answers = list[dict[str, str]]


def figures(name: str, dataset: Dataset, raw: Path, texts: dict[str, str]) -> dict[str, dict[str, float]]:
    return {
        view.name: {**view.scored.values(), "rows": len(view.scored.stats)}
        for view in views(benchmark(name), dataset, raw, texts)
    }


def scored(answers: list[dict[str, str | None]], tmp_path: Path, test: Any = TEST) -> dict[str, dict[str, float]]:
    """Score answers (attribute to value, in lower case) to the test products."""
    raw = extractgpt(tmp_path / "raw", test=test)
    dataset = convert(benchmark("ae-110k"), raw, tmp_path / "data")
    texts = {}
    for example, answer in zip(dataset.examples("test"), answers, strict=True):
        triples = [
            {"attribute": name, "value": value or "None", "source": "product title" if value else "None"}
            for name, value in answer.items()
        ]
        texts[example.id] = json.dumps(triples)
    return figures("ae-110k", dataset, raw, texts)


def test_values_are_right_wrong_missing_or_too_many(tmp_path: Path) -> None:
    """Six annotated attributes: three have a value. Given: one right, one wrong, one where there is none."""
    found = scored([{"brand": "kern", "color": "mug"}, {"brand": "odd"}, {}], tmp_path)
    assert found[PUBLISHED]["precision"] == pytest.approx(1 / 3)
    assert found[PUBLISHED]["recall"] == pytest.approx(1 / 3)
    assert found[PUBLISHED]["f1"] == pytest.approx(1 / 3) and found[PUBLISHED]["rows"] == 3


def test_what_was_not_annotated_counts_in_the_stricter_view_alone(tmp_path: Path) -> None:
    """The last product's brand is not annotated: a value for it is an error only where every attribute counts."""
    found = scored([{"brand": "kern", "color": "red"}, {}, {"brand": "tent", "net weight": "2kg"}], tmp_path)
    assert found[PUBLISHED]["precision"] == found[PUBLISHED]["recall"] == 1
    assert found[EVERY]["precision"] == pytest.approx(3 / 4) and found[EVERY]["recall"] == 1
    assert found[EVERY]["rows"] == 3


def test_case_counts_and_is_taken_from_the_title(tmp_path: Path) -> None:
    test = [product("Kern KERN kit", "Home", Brand="KERN"), product("Kern kit", "Home", Brand="kern")]
    # The first place of the word decides; the accepted value is in another case in both products.
    assert scored([{"brand": "kern"}, {"brand": "kern"}], tmp_path, test)[PUBLISHED]["f1"] == 0
    assert cased("kern kit", "a KERN Kit") == "KERN Kit"
    assert cased("men", "Women, Men") == "Men" and cased("ex", "TEXT") == "EX"
    assert cased("lamp", "a KERN Kit") == "lamp"


def test_any_accepted_value_will_do_and_none_where_na_comes_first(tmp_path: Path) -> None:
    test = [
        product("XL big shirt", "Home", Size=["XL", " big "]),
        product("XL big shirt 2", "Home", Size=["n/a", "XL"]),
    ]
    found = scored([{"size": "big"}, {"size": "xl"}], tmp_path, test)
    assert (found[PUBLISHED]["precision"], found[PUBLISHED]["recall"]) == (0.5, 1)


def test_the_first_of_several_values_counts_and_an_unreadable_answer_gives_none(tmp_path: Path) -> None:
    raw = extractgpt(tmp_path / "raw")
    dataset = convert(benchmark("ae-110k"), raw, tmp_path / "data")
    first, *others = dataset.examples("test")
    triple = {"attribute": "Brand", "source": "product title"}
    texts = {one.id: "no list" for one in others}
    texts[first.id] = json.dumps([{**triple, "value": "kern"}, {**triple, "value": "mug"}])
    found = figures("ae-110k", dataset, raw, texts)[PUBLISHED]
    assert (found["precision"], found["recall"]) == (1, pytest.approx(1 / 3))


def test_answers_to_a_products_samples_are_put_together(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(MOST_ATTRIBUTES + 2)]
    row = {"input": "thing", "category": "c", "target_scores": {name: {"thing": 1} for name in names}}
    raw = extractgpt(tmp_path / "raw", [row, {**row, "input": "other"}], [row])
    dataset = convert(benchmark("ae-110k"), raw, tmp_path / "data")
    texts = {one.id: one.output for one in dataset.examples("test")}
    assert len(texts) == 2
    found = figures("ae-110k", dataset, raw, texts)
    assert found[PUBLISHED]["f1"] == 1 and found[PUBLISHED]["rows"] == 1


def test_pairs_are_scored_as_published_and_apart_from_other_splits(tmp_path: Path) -> None:
    raw = ditto(tmp_path / "raw")
    dataset = convert(benchmark("amazon-google"), raw, tmp_path / "data")
    examples = dataset.examples("test")
    assert len(crossing(dataset)) == 1 and examples[-1].input in crossing(dataset)
    texts = {one.id: one.output for one in examples}
    texts[examples[-1].id] = "yes"  # wrong, in the row that stands in training too
    texts[examples[1].id] = "I do not know"
    found = figures("amazon-google", dataset, raw, texts)
    yes = sum(one.output == "yes" for one in examples)
    assert found[PUBLISHED]["recall"] == found[APART]["recall"] == pytest.approx((yes - 1) / yes)
    assert found[PUBLISHED]["precision"] == pytest.approx((yes - 1) / yes)
    assert found[APART]["precision"] == 1 and (found[PUBLISHED]["rows"], found[APART]["rows"]) == (7, 6)
