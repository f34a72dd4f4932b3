"""A text that is written freely."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ecellm.tasks.answers.base import AnswerDetails, Answers, AnswerType, Lengths, Schema
from ecellm.tasks.metrics import mean_figures
from ecellm.tasks.scored import PairScorer, RowScorer, Scored, Scoring
from ecellm.tasks.text_overlap import NAMES, overlap
from ecellm.types import Example

#: The figures that depend on the model that compares texts.
BY_MODEL = ("bertscore_precision", "bertscore_recall", "bertscore_f1")


class FreeText(AnswerType[str]):
    """A sentence or more (AG). The answer is the stripped text."""

    name = "free text"
    kind = "text"
    has_many_answers = True

    def print(self, answer: str, example: Example) -> str:
        """Return the text."""
        return answer

    def parse(self, text: str, example: Example) -> str | None:
        """Take any text that is not empty."""
        return text.strip() or None

    def parse_published(self, text: str) -> str:
        """Return the text unchanged: the published evaluation takes anything."""
        return text

    def candidates(self, example: Example) -> None:
        """Return None: there is no end of them."""

    def schema(self, example: Example) -> Schema:
        """Return a string."""
        return {"type": "string"}

    def row_scorer(self, scoring: Scoring, examples: Sequence[Example], pairs: PairScorer | None) -> RowScorer[str]:
        """Return the means of BERTScore, ROUGE-L and chrF; an empty answer scores 0 under both rules."""
        assert pairs is not None, "free texts are compared by a model"

        def score(answers: Answers[str]) -> Scored:
            texts = [(answer or "", example.output) for example, answer in zip(examples, answers, strict=True)]
            stats = np.concatenate([pairs.score(texts), overlap(texts), np.ones((len(texts), 1))], axis=1)
            names = (*BY_MODEL, *NAMES)
            return Scored(stats, partial(mean_figures, names=names), dict.fromkeys(BY_MODEL, pairs.name))

        return score

    def details(self, examples: Sequence[Example], texts: Sequence[str], answers: Answers[str]) -> AnswerDetails:
        """Return how long answers and references are."""
        references = [example.output for example in examples]
        return {"words": {"answers": _lengths(texts), "references": _lengths(references)}}


def _lengths(texts: Sequence[str]) -> Lengths:
    words = [len(text.split()) for text in texts]
    return {"mean": round(float(np.mean(words)), 1), "median": float(np.median(words)), "most": max(words)}
