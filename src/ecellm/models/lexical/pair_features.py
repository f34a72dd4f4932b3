"""Sparse features of a pair of texts: the words of each side, the words they share, how similar they are."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict

import numpy as np

from ecellm.models.lexical.sparse_rows import SparseRows
from ecellm.models.lexical.task_files import Arrays
from ecellm.tasks.metrics import Floats
from ecellm.tasks.text_pairs import TextPair

WORD = re.compile(r"\w+")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


class TermsNotes(TypedDict):
    """What JSON holds of `Terms`."""

    analyzer: str
    longest: int
    shortest: int
    terms: list[str]


class PairNotes(TypedDict):
    """What JSON holds of `PairFeatures`."""

    terms: list[TermsNotes]


class Terms:
    """TF-IDF of texts, rows of length 1; of no columns where no training text has a word.

    Term frequencies count by their logarithm. What stands here is what reading needs; scikit-learn chooses the terms
    (`linear_fitting.fit_terms`), and its vectorizer gives the same rows.
    """

    def __init__(
        self,
        analyzer: str = "word",
        longest: int = 1,
        shortest: int = 1,
        names: Sequence[str] = (),
        idf: Floats | None = None,
    ):
        """Take how texts are split into terms ("word" or "char_wb": characters within words) and how long these are,
        and the terms in order of their columns with their inverse document frequencies."""
        self.analyzer, self.longest, self.shortest = analyzer, longest, shortest
        self.names = list(names)
        self.idf = np.zeros(0) if idf is None else idf
        self._columns = {name: column for column, name in enumerate(self.names)}

    def transform(self, texts: Sequence[str]) -> SparseRows:
        """Return the rows of texts, [texts, terms]."""
        owners: list[int] = []
        columns: list[int] = []
        counts: list[int] = []
        for row, text in enumerate(texts) if self.names else ():
            found = Counter(column for term in self._terms(text) if (column := self._columns.get(term)) is not None)
            for column in sorted(found):
                owners.append(row)
                columns.append(column)
                counts.append(found[column])
        places = np.array(columns, dtype=np.int64)
        values = np.log(np.array(counts, dtype=np.float64)) + 1.0
        shape = (len(texts), len(self.names))
        return SparseRows(values * self.idf[places], places, np.array(owners, dtype=np.int64), shape).of_length_one()

    def _terms(self, text: str) -> Iterator[str]:
        """Yield the terms of a text, as scikit-learn's analyzers do."""
        lowered = text.lower()
        if self.analyzer == "word":
            words = WORD.findall(lowered)
            for length in range(self.shortest, min(self.longest, len(words)) + 1):
                for start in range(len(words) - length + 1):
                    yield " ".join(words[start : start + length])
            return
        for word in lowered.split():
            padded = f" {word} "
            for length in range(self.shortest, self.longest + 1):
                yield from (padded[start : start + length] for start in range(max(1, len(padded) - length + 1)))
                if length >= len(padded):  # the whole word, which longer terms would only repeat
                    break

    def state(self) -> tuple[TermsNotes, Arrays]:
        """Return the terms in order of their columns, and their inverse document frequencies."""
        notes = TermsNotes(analyzer=self.analyzer, longest=self.longest, shortest=self.shortest, terms=self.names)
        return notes, {"idf": self.idf}

    @classmethod
    def restored(cls, notes: TermsNotes, arrays: Arrays) -> "Terms":
        """Restore a model from what `state` returned."""
        return cls(notes["analyzer"], notes["longest"], notes["shortest"], notes["terms"], arrays["idf"])


class Scale:
    """Columns brought to mean 0 and deviation 1; a column that never varies is only shifted."""

    def __init__(self, mean: Floats, deviation: Floats):
        self.mean, self.deviation = mean, deviation

    def transform(self, rows: Floats) -> Floats:
        """Return the rows in these units."""
        return (rows - self.mean) / self.deviation


def nested(name: str, arrays: Arrays) -> Arrays:
    """Return the arrays with their names put under another."""
    return {f"{name}.{inner}": array for inner, array in arrays.items()}


def under(name: str, arrays: Arrays) -> Arrays:
    """Return the arrays that `nested` put under a name."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}


class PairFeatures:
    """Fitted on training pairs (`linear_fitting.fit_pair_features`); turns pairs into rows of one sparse matrix.

    Word 1-2-grams of each side, character 2-5-grams of a single text, words that both sides have, and
    likenesses: cosines over words and characters, shares of words and numbers in common, the likeness of the
    right side's parts one by one, lengths.
    """

    def __init__(self, blocks: Sequence[Terms], words: Terms, characters: Terms, scale: Scale):
        """Take the terms of each of TEXTS, those whose cosines measure similarity, and the scale of likenesses."""
        self.blocks, self.words, self.characters, self.scale = blocks, words, characters, scale

    def transform(self, pairs: Sequence[TextPair]) -> SparseRows:
        """Return the rows of pairs, [pairs, features]."""
        blocks = [
            terms.transform([text(pair) for pair in pairs]) for text, terms in zip(TEXTS, self.blocks, strict=True)
        ]
        dense = self.scale.transform(self.likenesses(pairs))
        return SparseRows.side_by_side([*blocks, SparseRows.of_dense(dense)])

    def state(self) -> tuple[PairNotes, Arrays]:
        """Return all that was learned."""
        states = [terms.state() for terms in (*self.blocks, self.words, self.characters)]
        arrays: Arrays = {"mean": self.scale.mean, "deviation": self.scale.deviation}
        for place, (_, inner) in enumerate(states):
            arrays |= nested(str(place), inner)
        return {"terms": [notes for notes, _ in states]}, arrays

    @classmethod
    def restored(cls, notes: PairNotes, arrays: Arrays) -> "PairFeatures":
        """Restore a model from what `state` returned."""
        read = [Terms.restored(inner, under(str(place), arrays)) for place, inner in enumerate(notes["terms"])]
        *blocks, words, characters = read
        return cls(blocks, words, characters, Scale(arrays["mean"], arrays["deviation"]))

    def likenesses(self, pairs: Sequence[TextPair]) -> Floats:
        """Return similarities of the texts of pairs, by many measures: [pairs, likenesses]."""
        columns = [np.array([_overlaps(pair) for pair in pairs], dtype=np.float64)]
        for terms in (self.words, self.characters):
            left = terms.transform([pair.left for pair in pairs])
            whole = left.row_products(terms.transform([pair.right for pair in pairs]))
            owners = [row for row, pair in enumerate(pairs) for _ in pair.parts]
            parts = terms.transform([part for pair in pairs for part in pair.parts])
            each = left.take(owners).row_products(parts) if owners else np.zeros(0)
            best, total, count = np.zeros(len(pairs)), np.zeros(len(pairs)), np.zeros(len(pairs))
            np.maximum.at(best, owners, each)
            np.add.at(total, owners, each)
            np.add.at(count, owners, 1.0)
            mean = total / np.maximum(count, 1.0)
            columns.append(np.stack([whole, whole**2, best, best**2, mean], axis=1))
        return np.concatenate(columns, axis=1)


def _overlaps(pair: TextPair) -> list[float]:
    left, right = _words(pair.left), _words(pair.right)
    numbers = set(NUMBER.findall(pair.left)), set(NUMBER.findall(pair.right))
    both = left & right
    covered = len(both) / max(len(left), 1)
    return [
        covered,
        float(covered == 1.0),
        len(both) / max(len(right), 1),
        len(both) / max(len(left | right), 1),
        len(numbers[0] & numbers[1]) / max(len(numbers[0]), 1),
        float(len(numbers[0] - numbers[1])),
        float(pair.left.casefold() in pair.right.casefold()),
        float(np.log1p(len(left))),
        float(np.log1p(len(right))),
        float(len(pair.parts)),
    ]


def _shared(pair: TextPair) -> str:
    return " ".join(sorted(_words(pair.left) & _words(pair.right)))


def _words(text: str) -> set[str]:
    return set(WORD.findall(text.casefold()))


#: The texts of a pair whose terms are features.
TEXTS: tuple[Callable[[TextPair], str], ...] = (
    lambda pair: pair.left,
    lambda pair: pair.right,
    # Of single texts only: beside a second text they cost most of the time and change nothing.
    lambda pair: "" if pair.right else pair.left,
    _shared,
)
