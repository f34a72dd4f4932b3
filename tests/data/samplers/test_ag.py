"""AG: which questions it asks and which of the shoppers' answers is the right one."""

from typing import Any

import pytest

from asked_rows import HOME, PHONES, PLENTY, asked, question
from ecellm.data.samplers import Draw, Plan
from ecellm.data.samplers.ag import NO_ANSWER, OTHER_KIND, SAMPLER, UNANSWERABLE
from ecellm.data.samplers.questions import NO_VOTE


def draw(*rows: dict[str, Any]) -> Draw:
    return SAMPLER.draw(asked(list(rows)), Plan(1, PLENTY, HOME, PHONES))


def store_rows(found: Draw, reason: str) -> set[str]:
    """The questions that were left out for a reason."""
    (table,) = found.lost[reason]
    assert not isinstance(table, list)
    return {row["question"] for row in table.to_pyarrow().to_pylist()}


def test_only_answerable_descriptive_questions_are_asked_and_the_others_counted() -> None:
    found = draw(
        question("how loud?"),
        question("is it loud?", kind="yesno"),
        question("how big?", answerable=False),
        question("how old?", kind="", snippets=[]),
        question("is it big?", kind="yesno", answerable=False, category="Music"),
    )
    assert [example.facts for example in found.examples] == [("question|how loud?",)]
    assert found.dropped == {OTHER_KIND: 2, UNANSWERABLE: 1}
    assert store_rows(found, OTHER_KIND) == {"is it loud?", "how old?"}
    assert store_rows(found, UNANSWERABLE) == {"how big?"}


@pytest.mark.parametrize(
    ("answers", "best"),
    [
        ([("Quiet.", 0), ("Very quiet.", 3), ("Loud.", 2)], "Very quiet."),
        ([("Quiet.", 1), ("Loud.", 1)], "Quiet."),
        ([("", 9), (" \n", 9), ("Loud.", 1)], "Loud."),
        ([("Quiet.", None), ("Loud.", None)], "Quiet."),
        ([('  Café, "quiet" \n', 1)], '  Café, "quiet" \n'),
    ],
)
def test_the_most_helpful_answer_is_taken_as_it_is_the_first_on_ties(answers: Any, best: str) -> None:
    told = [{"text": text, "helpful": helpful} for text, helpful in answers]
    (found,) = draw(question("how loud?", answers=told)).examples
    assert found.output == best


def test_questions_without_an_answer_in_words_that_somebody_found_helpful_are_left_out_and_counted() -> None:
    found = draw(
        question("how loud?", answers=[]),
        question("how long?", answers=[{"text": "Long.", "helpful": 0}, {"text": "Short.", "helpful": 0}]),
        question("how big?", answers=[{"text": " ", "helpful": 4}]),
        question("how old?"),
    )
    assert [example.facts for example in found.examples] == [("question|how old?",)]
    assert found.dropped == {NO_VOTE: 2, NO_ANSWER: 1}
    assert store_rows(found, NO_VOTE) == {"how loud?", "how long?"}


def test_questions_without_votes_take_no_place_of_others_in_a_quota() -> None:
    rows = [question(f"how wide {n}?", answers=[{"text": "Wide.", "helpful": int(n % 10 == 0)}]) for n in range(400)]
    found = SAMPLER.draw(asked(rows), Plan(1, {("train", "IND"): 20}, HOME, PHONES))
    assert len(found.examples) == 40 and found.dropped == {NO_VOTE: 360}
