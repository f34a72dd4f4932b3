"""Training examples varied each time they are seen, against overfitting.

Words are dropped at random, as by Ditto's `del` operators (Li et al., VLDB 2021, section 5.1) and EDA (Wei and Zou,
EMNLP 2019); examples whose task compares two records may be seen with the records exchanged. Everything is drawn by a
keyed hash of seed, epoch and example, so that a resumed run sees the same.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecellm.io.hashing import keyed_hash
from ecellm.models.xs.examples import TEXT, EncodedExample, Word
from ecellm.models.xs.shortening import without_words
from ecellm.prompts import Tokenizer


@dataclass(frozen=True)
class Augmentation:
    """How examples are changed in training."""

    tokenizer: Tokenizer
    word_dropout: float
    """The probability that a word is dropped."""
    seed: int

    def __call__(self, example: EncodedExample, epoch: int) -> EncodedExample:
        """Return the example as it is seen in an epoch. Free text is not augmented: its words are copied."""
        draw = random.Random(keyed_hash(self.seed, "augment", epoch, example.id))
        if example.mirrored is not None and draw.random() < 0.5:
            example = replace(example.mirrored, weight=example.weight)
        if example.kind == TEXT or not self.word_dropout:
            return example
        return self._without(example, {word for word in example.words if draw.random() < self.word_dropout})

    def _without(self, example: EncodedExample, dropped: set[Word]) -> EncodedExample:
        """Drop words, but for those of values that are to be found, and for the last one of a text."""
        kept_places = {place for spans in example.values for start, end in spans for place in range(start, end)}
        gone = [
            word
            for words in _runs(example.words)
            for word in (words if not dropped.issuperset(words) else words[1:])
            if word in dropped and kept_places.isdisjoint(range(word.start, word.end))
        ]
        return without_words(example, gone, self.tokenizer) if gone else example


def _runs(words: Sequence[Word]) -> list[list[Word]]:
    """Return the words of each text together: neighbours with nothing between them."""
    runs: list[list[Word]] = []
    for word in words:
        if runs and runs[-1][-1].end == word.start and runs[-1][-1].text == word.text:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs
