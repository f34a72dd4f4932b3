"""AmazonQA: questions with review snippets and shoppers' answers, JSON lines per split.

Files: {train,val,test}-qar.jsonl. https://github.com/amazonqa/amazonqa
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.data.engines.base import Part, Structure, Workbench
from ecellm.data.schema import conform, no_texts

SPLITS = {"train": "train", "val": "validation", "test": "test"}
STRUCTURE: Structure = {
    "asin": "VARCHAR",
    "category": "VARCHAR",
    "questionText": "VARCHAR",
    "questionType": "VARCHAR",
    "review_snippets": ["VARCHAR"],
    "answers": [{"answerText": "VARCHAR", "helpful": ["BIGINT"]}],
    "is_answerable": "BIGINT",
}
NEEDED = ("asin", "category", "questionText", "is_answerable")


def parts(folder: Path) -> list[Part]:
    """Return the files of questions."""
    return [Part(folder / f"{name}-qar.jsonl", {"split": split}) for name, split in SPLITS.items()]


def read(bench: Workbench, folder: Path) -> dict[str, ir.Table]:
    """Return `questions`; `helpful` is [up-votes, all votes] in the source, of which the up-votes are kept."""
    rows = bench.json_lines(
        parts(folder),
        STRUCTURE,
        NEEDED,
        {
            "is_answerable is not 0 or 1": lambda row: row.is_answerable.notin([0, 1]),
            "an answer has no text": lambda row: (
                row.answers.filter(lambda answer: answer.answerText.isnull()).length() > 0
            ),
        },
    )
    no_answers = ibis.literal([], type="array<struct<answerText: string, helpful: array<int64>>>")
    answers = rows.answers.fill_null(no_answers).map(
        lambda answer: ibis.struct({"text": answer.answerText, "helpful": answer.helpful[0].fill_null(0)})
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
    return {"questions": conform(questions, "questions")}
