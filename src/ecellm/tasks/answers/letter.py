"""One option's letter, or the option itself."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ecellm.tasks.answers.base import LETTERS, RANDOM_DRAWS, Answers, AnswerType, Schema, option_texts
from ecellm.tasks.metrics import hit_figures, macro_figures
from ecellm.tasks.scored import PairScorer, RowScorer, Scored, Scoring, bad_label, confusion_cells
from ecellm.types import Example

#: A letter and nothing else: B, b, (B), B. or B:
LETTER_ALONE = re.compile(r"\(?([A-Za-z])\)?[.:]?")
#: A letter that opens a longer answer: B: .., B) .., (B) .., B. .. or a line of its own; not "T.V. stand".
LETTER_FIRST = re.compile(r"(?:\(([A-Z])\)|([A-Z])(?:[:)]|\.\s|\n)).*", re.DOTALL)


class Letter(AnswerType[str]):
    """One option's letter (PRP, SR), or the whole option (SA, MPC). The answer is the letter."""

    name = "letter"
    kind = "choice"

    def __init__(
        self,
        published_letters: str,
        whole_option: bool = False,
        first_character: bool = True,
        options_vary: bool = False,
    ):
        """Take the letters that the published evaluation accepts, whether it reads the first character (PRP, SA, MPC)
        or wants the letter alone (SR), and whether the options change from row to row (SR): then letters are no
        classes, and whether the right one was chosen is all that counts."""
        self.published_letters = published_letters
        self.has_classes = not options_vary
        self.whole_option = whole_option
        self.first_character = first_character

    def print(self, answer: str, example: Example) -> str:
        """Return the letter, or the option that begins with it."""
        # Imported rows may come without their options: the letter stands in.
        if not (self.whole_option and example.options):
            return answer
        return option_texts(example.options)[LETTERS.index(answer)]

    def parse(self, text: str, example: Example) -> str | None:
        """Take "B", "b", "(B)", "B.", "B: ..." or an option's text; "Based on ..." gives nothing."""
        options = option_texts(example.options) if example.options else []
        answer = text.strip()
        bodies = [re.sub(r"^[A-Z]:\s*", "", option).strip().casefold() for option in options]
        if answer.casefold() in bodies:
            return LETTERS[bodies.index(answer.casefold())]
        match = LETTER_ALONE.fullmatch(answer) or LETTER_FIRST.fullmatch(answer)
        if match is None:
            return None
        letter = next(group for group in match.groups() if group).upper()
        return letter if letter in self._letters(example) else None

    def parse_published(self, text: str) -> str | None:
        """Read the first character (or, for SR, the whole stripped text) as an upper-case letter."""
        answer = text.strip()
        letter = answer[:1] if self.first_character else answer
        return letter if len(letter) == 1 and letter in self.published_letters else None

    def candidates(self, example: Example) -> tuple[str, ...]:
        """Return the letters, or the whole options, in order."""
        if self.whole_option and example.options:
            return tuple(option_texts(example.options))
        return tuple(self._letters(example))

    def schema(self, example: Example) -> Schema:
        """Return an enumeration of the candidates."""
        return {"enum": list(self.candidates(example))}

    def right_order(self, example: Example) -> list[int]:
        """Return the place of the right letter; the first where the reference has none."""
        return [LETTERS.index(self.parse(example.output, example) or LETTERS[0])]

    def row_scorer(self, scoring: Scoring, examples: Sequence[Example], pairs: PairScorer | None) -> RowScorer[str]:
        """Count in a confusion array; where options change from row to row, count hits."""
        labels = [example.output.strip()[:1] for example in examples]
        for example, label in zip(examples, labels, strict=True):
            if not label or label not in LETTERS:
                raise bad_label(example, "no option's letter")
        over: Literal["labels", "labels and answers"] = "labels" if scoring == "strict" else "labels and answers"

        def hits(answers: Answers[str]) -> Scored:
            right = [label == answer for label, answer in zip(labels, answers, strict=True)]
            counted = [scoring == "strict" or answer is not None for answer in answers]
            return Scored(np.array([right, counted], dtype=np.float64).T, hit_figures)

        def classes(answers: Answers[str]) -> Scored:
            names = sorted({*labels, *(answer for answer in answers if answer is not None)})
            stats, shape = confusion_cells(labels, answers, names, keep_unparsed=scoring == "strict")
            return Scored(stats, lambda sums: macro_figures(sums.reshape(*sums.shape[:-1], *shape), over))

        return classes if self.has_classes else hits

    def trivial_answers(self, scoring: Scoring, examples: Sequence[Example]) -> dict[str, Answers[str]]:
        """Return each constant letter.

        The best of twenty constant letters is luck: where options change and are shuffled, the first stands for all.
        """
        most = max(self._option_count(example) for example in examples) if self.has_classes else 1
        return {f"always {letter}": [letter] * len(examples) for letter in LETTERS[:most]}

    def random_answers(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Answers[str]]:
        """Draw letters of the options."""
        sizes = [self._option_count(example) for example in examples]
        return [[LETTERS[place] for place in generator.integers(0, sizes)] for _ in range(RANDOM_DRAWS)]

    def _letters(self, example: Example) -> str:
        """Return a letter per option; without options, those that the published evaluation accepts."""
        return LETTERS[: len(option_texts(example.options))] if example.options else self.published_letters

    def _option_count(self, example: Example) -> int:
        return len(option_texts(example.options)) if example.options else len(self.published_letters)
