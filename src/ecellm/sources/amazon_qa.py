"""AmazonQA: questions with review snippets and shoppers' answers, JSON lines per split.

Files: {train,val,test}-qar.jsonl. https://github.com/amazonqa/amazonqa
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.sources.raw import Part, Workbench, no_texts
from ecellm.store import conform

SPLITS = {"train": "train", "val": "validation", "test": "test"}
STRUCTURE = {
    "asin": "VARCHAR",
    "category": "VARCHAR",
    "questionText": "VARCHAR",
    "questionType": "VARCHAR",
    "review_snippets": ["VARCHAR"],
    "answers": [{"answerText": "VARCHAR", "helpful": ["BIGINT"]}],
    "is_answerable": "BIGINT",
}


def read(bench: Workbench, folder: Path) -> ir.Table:
    """Return `questions`."""
    parts = [Part(folder / f"{name}-qar.jsonl", {"split": split}) for name, split in SPLITS.items()]
    rows = bench.json_lines(parts, STRUCTURE, ["asin", "category", "questionText", "is_answerable"])
    no_answers = ibis.literal([], type="array<struct<answerText: string, helpful: array<int64>>>")
    answers = rows.answers.fill_null(no_answers).map(
        lambda answer: ibis.struct(
            {"text": answer.answerText.fill_null(""), "helpful": answer.helpful[0].fill_null(0)}
        )
    )
    questions = rows.select(
        category=rows.category,
        product_id=rows.asin,
        question=rows.questionText,
        kind=rows.questionType.fill_null(""),
        answerable=rows.is_answerable == 1,
        snippets=rows.review_snippets.fill_null(no_texts()),
        answers=answers,
        split=rows.split,
    )
    return conform(questions, "questions")
