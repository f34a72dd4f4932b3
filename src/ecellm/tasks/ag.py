"""AG, answer generation: answer a shopper's question from review snippets.

Source: AmazonQA, answerable and descriptive questions; the answer with the most helpful votes, first on ties. A
question none of whose answers has a helpful vote is skipped.

    input    {"question": "how loud is the fan?", "document": ["the fan is so quiet that we sleep well", ...]}
    output   It is very quiet, you can sleep next to it.
    metric   BERTScore F1
"""

from collections.abc import Sequence
from dataclasses import replace

from ecellm.errors import DataError
from ecellm.tasks.answers import Answers, FreeText
from ecellm.tasks.input_parsing import words
from ecellm.tasks.questions import FORM, compared, question_task
from ecellm.tasks.task import Quote
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example


def snippets_as_answers(examples: Sequence[Example]) -> dict[str, Answers[str]]:
    """Return the first snippet, and the first of those that share most words with the question; "" for none."""
    pairs = [_read(example) for example in examples]
    return {
        "first snippet": [next(iter(pair.parts), "") for pair in pairs],
        "most similar snippet": [_most_similar(pair) for pair in pairs],
    }


def _read(example: Example) -> TextPair:
    """Return the question and its snippets; no snippets where an imported input is of another form."""
    try:
        return compared(example)[0]
    except DataError:
        return TextPair(example.input)


def _most_similar(pair: TextPair) -> str:
    question = words(pair.left)
    return max(pair.parts, key=lambda snippet: len(question & words(snippet)), default="")


TASK = question_task(
    name="AG",
    title="Answer_Generation",
    instructions=(
        "Answer the question with the help of the review snippets in the document.",
        "Write a reply to the shopper's question that rests on what the reviewers say.",
        "Use the document to compose a short, helpful answer to the question.",
        "A customer asks about a product. Respond from the excerpts of reviews given.",
        "From the information in the document, give an answer to the question in your own words.",
        "Reply to the question as a shop assistant would who has read these reviews.",
    ),
    answer=FreeText(),
    metric="bertscore_f1",
    form=replace(FORM, quotes=lambda answer: [Quote("snippets", answer)]),
    trivial=snippets_as_answers,
    verb="answer",
    sample_rows=(
        {"question": "How loud is the fan?", "snippets": ["So quiet that we sleep next to it.", "Hardly a hum."]},
        {"question": "Is it heavy?", "snippets": ["I carry it in one hand all day."]},
    ),
)
