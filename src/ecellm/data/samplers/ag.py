"""Drawing AG: descriptive questions of AmazonQA with the answer that most readers found helpful."""

from collections.abc import Mapping

from ecellm.data.samplers.base import CATEGORY, Draw, Plan, Sampler
from ecellm.data.samplers.questions import NO_VOTE, WITHOUT_SNIPPETS, Unusable, drawn_questions, question_sample
from ecellm.data.schema import Row, Store

NO_ANSWER = "question has no answer with text"
OTHER_KIND, UNANSWERABLE = "question is not descriptive", "question is not answerable"
UNUSABLE: Mapping[str, Unusable] = {
    OTHER_KIND: lambda questions: questions.kind != "descriptive",
    UNANSWERABLE: lambda questions: ~questions.answerable,
    **WITHOUT_SNIPPETS,
    NO_VOTE: lambda questions: ~questions.voted,
}


def draw(store: Store, plan: Plan) -> Draw:
    """Draw answerable, descriptive questions with an answer that somebody found helpful."""
    found = Draw()
    for split, domain, row in drawn_questions(store, plan, "AG", UNUSABLE, found):
        answer = best_answer(row["answers"])
        if answer is None:
            found.drop(NO_ANSWER, 1, [row])
        else:
            found.examples.append(question_sample("AG", split, domain, row, answer))
    return found


def best_answer(answers: list[Row]) -> str | None:
    """Return the text of the answer with the most helpful votes, the first on ties; None where none that has a text
    has a vote. Where votes are not known (null), an answer counts as if one reader had found it helpful."""
    voted = [answer for answer in answers if answer["text"].strip() and _votes(answer) > 0]
    return max(voted, key=_votes)["text"] if voted else None


def _votes(answer: Row) -> int:
    return 1 if answer["helpful"] is None else int(answer["helpful"])


SAMPLER = Sampler(draw, needs=("questions",), columns=(("questions", "answers"),), domains=(CATEGORY,))
