"""AP: which questions it asks and what the right answer is."""

from asked_rows import HOME, PHONES, PLENTY, asked, question
from ecellm.data.samplers import Plan
from ecellm.data.samplers.ap import SAMPLER


def test_the_answer_says_if_the_snippets_answer_the_question() -> None:
    rows = [question("red?", answerable=True), question("new?", answerable=False, answers=[])]
    found = SAMPLER.draw(asked(rows), Plan(1, PLENTY, HOME, PHONES)).examples
    assert {example.facts[0]: example.output for example in found} == {"question|red?": "yes", "question|new?": "no"}


def test_questions_of_every_kind_stand_in_their_natural_proportions() -> None:
    kinds = ("descriptive", "yesno", "")
    rows = [question(f"question {n}?", kind=kinds[n % 3], answerable=n % 5 < 2) for n in range(75)]
    found = SAMPLER.draw(asked(rows), Plan(1, PLENTY, HOME, PHONES)).examples
    assert [example.output for example in found].count("yes") == 30 and len(found) == 75
