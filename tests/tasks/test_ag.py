"""AG: which questions it asks and which of the shoppers' answers is the right one."""

from typing import Any

import pytest

from asked_rows import HOME, PHONES, PLENTY, asked, question
from ecellm.tasks.ag import NO_ANSWER, TASK
from ecellm.tasks.task import Draw, Plan


def draw(*rows: dict[str, Any]) -> Draw:
    return TASK.draw(asked(list(rows)), Plan(1, PLENTY, HOME, PHONES))


def test_only_answerable_descriptive_questions_are_asked() -> None:
    found = draw(
        question("how loud?"),
        question("is it loud?", kind="yesno"),
        question("how big?", answerable=False),
        question("how old?", kind="", snippets=[]),
    )
    assert [sample.facts for sample in found.samples] == [("question|how loud?",)]
    assert found.dropped == {}


@pytest.mark.parametrize(
    ("answers", "best"),
    [
        ([("Quiet.", 0), ("Very quiet.", 3), ("Loud.", 2)], "Very quiet."),
        ([("Quiet.", 1), ("Loud.", 1)], "Quiet."),
        ([("", 9), (" \n", 9), ("Loud.", 0)], "Loud."),
        ([('  Café, "quiet" \n', 1)], '  Café, "quiet" \n'),
    ],
)
def test_the_most_helpful_answer_is_taken_as_it_is_the_first_on_ties(answers: Any, best: str) -> None:
    told = [{"text": text, "helpful": helpful} for text, helpful in answers]
    (found,) = draw(question("how loud?", answers=told)).samples
    assert found.output == best


def test_questions_that_nobody_answered_in_words_are_left_out_and_counted() -> None:
    found = draw(
        question("how loud?", answers=[]),
        question("how big?", answers=[{"text": " ", "helpful": 4}]),
        question("how old?"),
    )
    assert len(found.samples) == 1 and found.dropped == {NO_ANSWER: 2}
