"""What the two AmazonQA tasks share: whose split a question has, categories, order, snippets."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asked_rows import HOME, PHONES, PLENTY, asked, question
from ecellm.data.samplers import Draw, Plan, ag, ap
from ecellm.data.samplers.questions import NO_SNIPPETS, UNTESTED
from ecellm.types import Example

SAMPLERS = (ap.SAMPLER, ag.SAMPLER)
each_task = pytest.mark.parametrize("task", SAMPLERS, ids=("AP", "AG"))


def draw(task: Any, rows: list[dict[str, Any]], quotas: Any = PLENTY, seed: int = 1) -> Draw:
    return task.draw(asked(rows), Plan(seed, quotas, HOME, PHONES))


@each_task
def test_a_row_reads_as_the_published_rows(task: Any) -> None:
    row = question("Is it loud?", snippets=["very quiet", 'no "noise"', "café"], product_id="B1")
    (found,) = draw(task, [row]).examples
    assert found.input == '{"question": "Is it loud?", "document": ["very quiet", "no \\"noise\\"", "caf\\u00e9"]}'
    assert (found.options, found.category, found.domain, found.split) == (None, "Home", "IND", "train")
    assert found.facts == ("question|is it loud?",)
    assert found.products == ("amazon_qa|B1",)


@each_task
def test_the_sources_splits_are_kept_and_out_of_domain_categories_are_tested_only(task: Any) -> None:
    rows = [
        question(f"{category} {split}?", split, category)
        for category in (*HOME, *PHONES, "Music")
        for split in ("train", "validation", "test")
    ]
    drawn = draw(task, rows)
    found = {(example.input[14:].split("?")[0], example.split, example.domain) for example in drawn.examples}
    assert drawn.dropped == {UNTESTED: 2}
    home = {(f"{category} {split}", split, "IND") for category in HOME for split in ("train", "validation", "test")}
    assert found == home | {("Phones test", "test", "OOD")}


@each_task
def test_a_question_asked_in_several_splits_belongs_to_the_last(task: Any) -> None:
    rows = [
        question("does  it leak?", product_id="p1"),
        question("Does it leak? ", product_id="p2"),
        question("does it\tleak?", "validation", product_id="p3"),
        question("is it red?"),
        question("IS IT RED?", "test", "Music"),
        question("is it new?"),
    ]
    splits = {example.products + example.facts: example.split for example in draw(task, rows).examples}
    assert splits == {
        ("amazon_qa|p1", "question|does it leak?"): "validation",
        ("amazon_qa|p2", "question|does it leak?"): "validation",
        ("amazon_qa|p3", "question|does it leak?"): "validation",
        ("amazon_qa|p1", "question|is it red?"): "test",
        ("amazon_qa|p1", "question|is it new?"): "train",
    }


@each_task
def test_questions_without_snippets_are_left_out_and_counted_where_they_could_have_been_asked(task: Any) -> None:
    rows = [
        question("quiet?", snippets=[]),
        question("loud?", "test", "Phones", snippets=[]),
        question("old?", category="Music", snippets=[]),
        question("new?"),
    ]
    found = draw(task, rows)
    assert len(found.examples) == 1 and found.dropped == {NO_SNIPPETS: 2}


rows_strategy = st.lists(
    st.builds(
        question,
        st.sampled_from(["is it red?", "Is it  red?", "is it new? ", "is it new?", "ist es groß?", "IST ES GROß?"]),
        st.sampled_from(["train", "validation", "test"]),
        st.sampled_from(["Home", "Garden", "Phones", "Music"]),
        product_id=st.sampled_from(["p1", "p2"]),
        answerable=st.booleans(),
        kind=st.sampled_from(["descriptive", "yesno"]),
    ),
    max_size=30,
)


@settings(max_examples=8)
@given(rows_strategy)
def test_no_question_stands_in_two_splits_of_any_tasks(rows: list[dict[str, Any]]) -> None:
    examples: list[Example] = [example for task in SAMPLERS for example in draw(task, rows).examples]
    splits: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        splits[example.facts[0]].add(example.split)
    assert all(len(found) == 1 for found in splits.values())
    later = {" ".join(row["question"].split()).lower() for row in rows if row["split"] != "train"}
    assert all(("train" not in found) == (name.removeprefix("question|") in later) for name, found in splits.items())


@each_task
def test_the_order_of_the_rows_changes_nothing_and_the_seed_changes_the_draw(task: Any) -> None:
    """Rows differ in one thing alone, be it an answer or a snippet; a reserve of 20 rows is drawn."""
    answers = [[{"text": f"So says buyer {number}.", "helpful": number % 3}] for number in range(30)]
    rows = [question("is it loud?", answers=answer) for answer in answers]
    rows += [question("is it loud?", snippets=["quiet"] * (1 + number)) for number in range(30)]
    rows += [question("is it loud?", category=HOME[number % 2], product_id=f"p{number}") for number in range(30)]
    few: Any = {("train", "IND"): 4}
    one = draw(task, rows, few).examples
    assert len(one) == 4 + 2 + 20
    assert draw(task, rows[::-1], few).examples == one
    assert draw(task, rows, few, seed=2).examples != one


@each_task
def test_a_plan_without_a_part_draws_none_of_it(task: Any) -> None:
    rows = [question("red?"), question("new?", "test"), question("big?", "test", "Phones")]
    none: Any = {("train", "IND"): 0, ("test", "IND"): 5, ("test", "OOD"): 0}
    assert [example.category for example in draw(task, rows, none).examples] == ["Home"]
    assert task.draw(asked(rows), Plan(1, PLENTY)).examples == []


def test_tasks_draw_their_own_rows() -> None:
    rows = [question(f"question {number}?") for number in range(200)]
    few: Any = {("train", "IND"): 10}
    one, other = ({example.facts for example in draw(task, rows, few).examples} for task in SAMPLERS)
    assert len(one) == len(other) == 10 + 5 + 20 and one != other
