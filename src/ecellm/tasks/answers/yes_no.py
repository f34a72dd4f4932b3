"""Yes or no."""

from collections.abc import Iterable, Sequence

import numpy as np

from ecellm.tasks.answers.base import RANDOM_DRAWS, Answers, AnswerType, Schema
from ecellm.tasks.metrics import BINARY_EPSILON, binary_figures
from ecellm.tasks.scored import PairScorer, RowScorer, Scored, Scoring, bad_label, confusion_cells
from ecellm.types import Example


class YesNo(AnswerType[str]):
    """Yes or no (PM, PSI, AP). The answer is "yes" or "no"."""

    name = "yes/no"
    kind = "choice"
    has_classes = True
    choices = ("yes", "no")

    def print(self, answer: str, example: Example) -> str:
        """Return yes or no."""
        return answer

    def parse(self, text: str, example: Example) -> str | None:
        """Take yes or no in any case, a full stop allowed; nothing else."""
        word = text.strip().removesuffix(".").casefold()
        return word if word in self.choices else None

    def parse_published(self, text: str) -> str | None:
        """Lower-case, strip, then exactly yes or no."""
        word = text.lower().strip()
        return word if word in self.choices else None

    def candidates(self, example: Example) -> tuple[str, ...]:
        """Return yes and no."""
        return self.choices

    def schema(self, example: Example) -> Schema:
        """Return an enumeration of the two words."""
        return {"enum": list(self.choices)}

    def right_order(self, example: Example) -> list[int]:
        """Return the place of the right word, however it is written; the first where the reference is neither."""
        return [self.choices.index(self.parse(example.output, example) or self.choices[0])]

    def label(self, example: Example) -> str:
        """Return yes or no."""
        return example.output.strip().lower()

    def ordered(self, classes: Iterable[str]) -> list[str]:
        """Return yes before no."""
        return sorted(classes, reverse=True)

    def row_scorer(self, scoring: Scoring, examples: Sequence[Example], pairs: PairScorer | None) -> RowScorer[str]:
        """Count in a confusion array."""
        labels = [self.parse_published(example.output) for example in examples]
        for example, label in zip(examples, labels, strict=True):
            if label is None:
                raise bad_label(example, "neither yes nor no")
        epsilon = 0.0 if scoring == "strict" else BINARY_EPSILON

        def score(answers: Answers[str]) -> Scored:
            stats, shape = confusion_cells(labels, answers, self.choices, keep_unparsed=scoring == "strict")
            return Scored(stats, lambda sums: binary_figures(sums.reshape(*sums.shape[:-1], *shape), epsilon))

        return score

    def trivial_answers(self, scoring: Scoring, examples: Sequence[Example]) -> dict[str, Answers[str]]:
        """Return always yes and always no."""
        return {f"always {word}": [word] * len(examples) for word in self.choices}

    def random_answers(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Answers[str]]:
        """Draw yes or no."""
        sizes = [len(self.choices)] * len(examples)
        return [[self.choices[place] for place in generator.integers(0, sizes)] for _ in range(RANDOM_DRAWS)]
