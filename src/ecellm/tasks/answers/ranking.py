"""An order of a list's letters, best first."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from itertools import permutations

import numpy as np
import pyarrow as pa

from ecellm.tasks.answers.base import LETTERS, RANDOM_DRAWS, Answers, AnswerType, Schema, input_list
from ecellm.tasks.metrics import RANKING_EPSILON, mean_figures, ndcg
from ecellm.tasks.scored import NotScorableError, PairScorer, RowScorer, Scored, Scoring
from ecellm.types import Example

#: Constant orders permute this many first letters; published lists have 2 to 4 products.
MOST_PERMUTED = 4

#: Letters, best first.
Order = list[str]


class Ranking(AnswerType[Order]):
    """All letters of a list in the input, best first, as "B,A,C" (QPR). The answer is a list of letters."""

    name = "ranking"
    kind = "ranking"
    column = pa.list_(pa.string())

    def __init__(self, items: str, gains: Mapping[str, float]):
        """Take the key under which the input has its list, and the gain of each label that an item may have."""
        self.items = items
        self.gains = dict(gains)

    def print(self, answer: list[str], example: Example) -> str:
        """Return the letters joined by commas, without spaces."""
        return ",".join(answer)

    def written(self, value: object) -> str | None:
        """Take a list of letters, too."""
        if isinstance(value, list) and all(isinstance(letter, str) for letter in value):
            return ",".join(value)
        return super().written(value)

    def letters(self, example: Example) -> str:
        """Return the letters in use, one per item of the example's list; raises DataError without a list."""
        return LETTERS[: len(input_list(example, self.items))]

    def parse(self, text: str, example: Example) -> list[str] | None:
        """Take every letter exactly once, divided by commas; spaces are allowed."""
        letters = [piece.strip() for piece in text.strip().removesuffix(".").split(",")]
        return letters if sorted(letters) == sorted(self.letters(example)) else None

    def parse_published(self, text: str) -> list[str]:
        """Split the stripped text on commas; each piece counts by its first character, unstripped.

        Pieces that are empty or do not begin with an upper-case letter are skipped singly. Whether a letter
        names an item of the row is for the caller to check.
        """
        firsts = [piece[:1] for piece in text.strip().split(",")]
        return [letter for letter in firsts if letter and letter in LETTERS]

    def candidates(self, example: Example) -> tuple[str, ...]:
        """Return every order of the letters (2 to 24 of them for lists of 2 to 4)."""
        return tuple(",".join(order) for order in permutations(self.letters(example)))

    def schema(self, example: Example) -> Schema:
        """Return an enumeration of the orders."""
        return {"enum": list(self.candidates(example))}

    def right_order(self, example: Example) -> list[int]:
        """Return the places of the items, best first; empty where the reference is no order of them."""
        return [LETTERS.index(letter) for letter in self.parse(example.output, example) or []]

    def candidate_name(self, candidate: str, readable: object) -> str:
        """Return the order by its letters: texts would be long."""
        return candidate

    def unparsed_published(self, examples: Sequence[Example], texts: Sequence[str], answers: Answers[Order]) -> int:
        """Return how many pieces between commas are skipped, as the published script counts them."""
        pieces = sum(text.strip().count(",") + 1 for text in texts)
        kept = sum(
            len(_known_letters(answer or (), self._labels(example)))
            for answer, example in zip(answers, examples, strict=True)
        )
        return pieces - kept

    def row_scorer(self, scoring: Scoring, examples: Sequence[Example], pairs: PairScorer | None) -> RowScorer[Order]:
        """NDCG: strict against the full ideal order, published against the ideal order of what was named."""
        gains = [tuple(self.gains[label] for label in self._labels(example)) for example in examples]
        value = _strict_ndcg if scoring == "strict" else _published_ndcg

        def score(answers: Answers[Order]) -> Scored:
            values = [value(row, tuple(answer or ())) for row, answer in zip(gains, answers, strict=True)]
            stats = np.array([values, np.ones(len(values))], dtype=np.float64).T
            return Scored(stats, partial(mean_figures, names=("ndcg",)))

        return score

    def trivial_answers(self, scoring: Scoring, examples: Sequence[Example]) -> dict[str, Answers[Order]]:
        """Return every constant order; under the published rules also those that name one or two letters only."""
        rows = [self.letters(example) for example in examples]
        letters = max(rows, key=len)
        first, rest = letters[:MOST_PERMUTED], letters[MOST_PERMUTED:]
        sizes = [len(first)] if scoring == "strict" else [len(first), 1, 2]
        orders = dict.fromkeys(order for size in sizes for order in permutations(first, size))

        def shortened(order: tuple[str, ...]) -> Answers[Order]:
            whole = (*order, *(rest if len(order) == len(first) else ""))
            known = {row: [letter for letter in whole if letter in row] for row in dict.fromkeys(rows)}
            return [known[row] for row in rows]

        return {"always " + ",".join(order): shortened(order) for order in orders}

    def random_answers(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Answers[Order]]:
        """Draw orders."""
        letters = [self.letters(example) for example in examples]
        most = max(map(len, letters), default=0)
        beyond = np.arange(most) >= np.array([[len(row)] for row in letters])
        draws = []
        for _ in range(RANDOM_DRAWS):
            # Sorted random numbers, those of places that a list does not have last.
            order = np.argsort(generator.random((len(letters), most)) + beyond, axis=1).tolist()
            draws.append(
                [[row[place] for place in places[: len(row)]] for row, places in zip(letters, order, strict=True)]
            )
        return draws

    def _labels(self, example: Example) -> tuple[str, ...]:
        if not example.labels or not set(example.labels) <= self.gains.keys():
            *names, last = self.gains
            raise NotScorableError(
                f"{example.task} test rows have no labels ({', '.join(names)} or {last} for each letter), so no "
                "ranking can be scored: import them again with --qpr-labels."
            )
        return example.labels


# Lists are short and labels few: the same few lists come again and again.
@lru_cache(maxsize=100_000)
def _strict_ndcg(gains: tuple[float, ...], answer: tuple[str, ...]) -> float:
    return ndcg(_ranked(gains, answer), gains)


@lru_cache(maxsize=100_000)
def _published_ndcg(gains: tuple[float, ...], answer: tuple[str, ...]) -> float:
    ranked = _ranked(gains, answer)
    return ndcg(ranked, ranked, RANKING_EPSILON)


def _ranked(gains: Sequence[float], answer: Sequence[str]) -> list[float]:
    return [gains[LETTERS.index(letter)] for letter in _known_letters(answer, gains)]


def _known_letters(answer: Sequence[str], items: Sequence[object]) -> list[str]:
    return [letter for letter in answer if letter in LETTERS[: len(items)]]
