"""The snippet to quote: how similar each is to the question, how long it is, and where it stands."""

from collections.abc import Sequence
from typing import Literal, Self, TypedDict

import numpy as np

from ecellm.models.lexical.pair_features import Scale, Terms, TermsNotes, nested, under
from ecellm.models.lexical.task_files import Arrays
from ecellm.models.xs.lexical.scores import LOWEST, NOTHING, Lexical, pair_of
from ecellm.tasks.metrics import Floats
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example


class QuoteNotes(TypedDict):
    """What JSON holds of `QuoteScores`."""

    kind: Literal["quotes"]
    words: TermsNotes
    characters: TermsNotes


class QuoteScores:
    """A task of free text about snippets: a logistic regression over features of a snippet."""

    def __init__(self, words: Terms, characters: Terms, scale: Scale, weights: Floats):
        self.words, self.characters = words, characters
        self.scale, self.weights = scale, weights

    def read(self, examples: Sequence[Example]) -> list[Lexical]:
        """Return log-probabilities of the snippets."""
        pairs = [pair_of(example) for example in examples]
        return [NOTHING if pair is None or not pair.parts else self._scored(pair) for pair in pairs]

    def features(self, pair: TextPair) -> Floats:
        """Return [snippets, 8]: cosines with the question over words and characters, by how much each falls short of
        the best, the logarithm of the number of words and its square, the logarithm of the place, and whether it is
        the first."""
        count = len(pair.parts)
        cosines = [
            terms.transform([pair.left] * count).row_products(terms.transform(pair.parts))
            for terms in (self.words, self.characters)
        ]
        short = [cosine - cosine.max() for cosine in cosines]
        words = np.log1p([len(part.split()) for part in pair.parts])
        places = np.arange(count, dtype=np.float64)
        return np.stack([*cosines, *short, words, words**2, np.log1p(places), places == 0], axis=1)

    def _scored(self, pair: TextPair) -> Lexical:
        logits = self.scale.transform(self.features(pair)) @ self.weights
        logs = logits - np.logaddexp.reduce(logits)
        return Lexical(tuple(np.maximum(logs, LOWEST).tolist()))

    def state(self) -> tuple[QuoteNotes, Arrays]:
        """Return all that was learned."""
        words, characters = self.words.state(), self.characters.state()
        notes = QuoteNotes(kind="quotes", words=words[0], characters=characters[0])
        arrays: Arrays = {"mean": self.scale.mean, "deviation": self.scale.deviation, "weights": self.weights}
        return notes, arrays | nested("words", words[1]) | nested("characters", characters[1])

    @classmethod
    def restored(cls, notes: QuoteNotes, arrays: Arrays) -> Self:
        """Restore a model from what `state` returned."""
        words = Terms.restored(notes["words"], under("words", arrays))
        characters = Terms.restored(notes["characters"], under("characters", arrays))
        return cls(words, characters, Scale(arrays["mean"], arrays["deviation"]), arrays["weights"])
