"""AmazonQA: questions with snippets and answers, votes and splits."""

from pathlib import Path

import pytest
from source_files import question, read, write_questions

from ecellm.data.config import Sources

pytestmark = pytest.mark.usefixtures("engine")

QA = Sources(amazon_qa="productQA")


def test_a_question_keeps_snippets_answers_and_up_votes_in_order(tmp_path: Path) -> None:
    answers = [
        {"answerText": "Yes.", "answerType": "Y", "helpful": [3, 4]},
        {"answerText": "No!", "answerType": "N", "helpful": [0, 9]},
    ]
    write_questions(tmp_path, train=[question(1, answers=answers, questionType="descriptive", is_answerable=0)])
    (found,) = (row for row in read(tmp_path, QA)["questions"] if row["product_id"] == "Q1")
    assert found == {
        "category": "Beauty",
        "product_id": "Q1",
        "question": "Is comb 1 made of oak?",
        "kind": "descriptive",
        "answerable": False,
        "snippets": ["It is oak.", "Nice."],
        "answers": [{"text": "Yes.", "helpful": 3}, {"text": "No!", "helpful": 0}],
        "split": "train",
    }


def test_the_sources_val_is_our_validation(tmp_path: Path) -> None:
    write_questions(tmp_path)
    assert sorted(row["split"] for row in read(tmp_path, QA)["questions"]) == ["test", "train", "validation"]


def test_no_snippets_no_answers_and_no_votes_are_none(tmp_path: Path) -> None:
    bare = question(1, answers=[{"answerText": "Yes."}, {"answerText": "No.", "helpful": []}])
    del bare["review_snippets"]
    silent = question(2)
    del silent["answers"]
    write_questions(tmp_path, train=[bare, silent])
    found = {row["product_id"]: row for row in read(tmp_path, QA)["questions"]}
    assert found["Q1"]["snippets"] == []
    assert [answer["helpful"] for answer in found["Q1"]["answers"]] == [0, 0]
    assert found["Q2"]["answers"] == []


def test_bad_questions_are_set_aside_with_line_and_reason(tmp_path: Path) -> None:
    no_category = question(3)
    del no_category["category"]
    lines = [
        question(1),
        b"{'asin': 'Q2'}",
        no_category,
        question(4, is_answerable=2),
        question(5, is_answerable="maybe"),
        question(6, answers=[{"helpful": [1, 1]}]),
        question(7, answers=["Yes."]),
        question(8, review_snippets=["fine", None]),
        question(9, review_snippets="one text"),
        question(10, questionText=None),
        question(11, is_answerable=True),
        question(12, review_snippets=["fine", {"text": "fine"}]),
        question(13, answers=[{"answerText": ["Yes."], "helpful": [1, 1]}]),
        question(14, answers=[{"answerText": "[Update] yes", "helpful": [1, 1]}]),
    ]
    write_questions(tmp_path, test=lines)
    found = read(tmp_path, QA)
    assert {row["product_id"] for row in found["questions"] if row["split"] == "test"} == {"Q1", "Q11", "Q14"}
    assert found.places() == {
        2: "not valid JSON",
        3: "category is missing",
        4: "is_answerable is not 0 or 1",
        5: "is_answerable has the wrong type",
        6: "an answer has no text",
        7: "an answer has no text",
        8: "review_snippets has the wrong type",
        9: "review_snippets has the wrong type",
        10: "questionText is missing",
        12: "review_snippets has the wrong type",
        13: "answers has the wrong type",
    }
