"""Sparse features of a pair of texts: the words of each side, the words they share, how alike they are."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from ecellm.baselines.sides import Sides

Floats = NDArray[np.float64]
#: A fitted thing taken apart: what JSON holds, and arrays by name.
State = tuple[dict[str, Any], dict[str, NDArray[Any]]]

MOST_TERMS = 200_000
WORD = re.compile(r"\w+")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Terms:
    """TF-IDF of texts, rows of length 1; of no columns where no training text has a word."""

    def __init__(self, analyzer: str = "word", longest: int = 1, shortest: int = 1):
        self._form: dict[str, Any] = {"analyzer": analyzer, "longest": longest, "shortest": shortest}
        self._vectorizer = _vectorizer(**self._form)
        self._fitted = False

    def fit(self, texts: Sequence[str]) -> "Terms":
        """Learn terms and their document frequencies."""
        self._fitted = any(WORD.search(text) for text in texts)
        if self._fitted:
            self._vectorizer.fit(texts)
        return self

    def transform(self, texts: Sequence[str]) -> Any:
        """Return a sparse matrix [texts, terms]."""
        if not self._fitted or not texts:
            return sp.csr_matrix((len(texts), 0))
        return self._vectorizer.transform(texts)

    def state(self) -> State:
        """Return the terms in order of their columns, and their inverse document frequencies."""
        if not self._fitted:
            return {**self._form, "terms": []}, {"idf": np.zeros(0)}
        return {**self._form, "terms": list(self._vectorizer.get_feature_names_out())}, {"idf": self._vectorizer.idf_}

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> "Terms":
        """Return what `state` was taken of."""
        form = {name: notes[name] for name in ("analyzer", "longest", "shortest")}
        made = cls(**form)
        made._fitted = bool(notes["terms"])
        if made._fitted:
            made._vectorizer = _vectorizer(**form, terms=notes["terms"])
            made._vectorizer.idf_ = arrays["idf"]
        return made


def _vectorizer(analyzer: str, longest: int, shortest: int, terms: list[str] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer=analyzer,
        token_pattern=WORD.pattern if analyzer == "word" else None,
        ngram_range=(shortest, longest),
        max_features=MOST_TERMS,
        sublinear_tf=True,
        vocabulary=terms,
    )


class Scale:
    """Columns brought to mean 0 and deviation 1; a column that never varies is only shifted."""

    def __init__(self, mean: Floats, deviation: Floats):
        self.mean, self.deviation = mean, deviation

    @classmethod
    def fit(cls, rows: Floats) -> "Scale":
        """Take mean and deviation of training rows."""
        fitted = StandardScaler().fit(rows)
        return cls(fitted.mean_, fitted.scale_)

    def transform(self, rows: Floats) -> Floats:
        """Return the rows in these units."""
        return (rows - self.mean) / self.deviation


def nested(name: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays with their names put under another."""
    return {f"{name}.{inner}": array for inner, array in arrays.items()}


def under(name: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays that `nested` put under a name."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}


def row_cosines(left: Any, right: Any) -> Floats:
    """Return the cosine of each row of one TF-IDF matrix with the same row of another, [rows]."""
    return np.asarray(left.multiply(right).sum(axis=1), dtype=np.float64).ravel()


class PairFeatures:
    """Fitted on training pairs; turns pairs into rows of one sparse matrix.

    Word 1-2-grams of each side, character 2-5-grams of a single text, words that both sides have, and
    likenesses: cosines over words and characters, shares of words and numbers in common, the likeness of the
    right side's parts one by one, lengths.
    """

    def __init__(self) -> None:
        self._blocks: list[tuple[Callable[[Sides], str], Terms]] = [
            (lambda pair: pair.left, Terms(longest=2)),
            (lambda pair: pair.right, Terms(longest=2)),
            # Of single texts only: beside a second text they cost most of the time and change nothing.
            (lambda pair: "" if pair.right else pair.left, Terms("char_wb", 5, 2)),
            (_shared, Terms()),
        ]
        self._words, self._characters = Terms(), Terms("char_wb", 4, 3)
        self._scale = Scale(np.zeros(0), np.ones(0))

    def fit(self, pairs: Sequence[Sides]) -> "PairFeatures":
        """Learn terms and scales from training pairs."""
        for text, terms in self._blocks:
            terms.fit([text(pair) for pair in pairs])
        texts = [text for pair in pairs for text in (pair.left, pair.right)]
        self._words.fit(texts)
        self._characters.fit(texts)
        self._scale = Scale.fit(self._likenesses(pairs))
        return self

    def transform(self, pairs: Sequence[Sides]) -> Any:
        """Return a sparse matrix [pairs, features]."""
        blocks = [terms.transform([text(pair) for pair in pairs]) for text, terms in self._blocks]
        dense = self._scale.transform(self._likenesses(pairs))
        return sp.hstack([*blocks, sp.csr_matrix(dense)]).tocsr()

    def state(self) -> State:
        """Return all that was learned."""
        states = [terms.state() for terms in self._terms()]
        arrays = {"mean": self._scale.mean, "deviation": self._scale.deviation}
        for place, (_, inner) in enumerate(states):
            arrays |= nested(str(place), inner)
        return {"terms": [notes for notes, _ in states]}, arrays

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> "PairFeatures":
        """Return what `state` was taken of."""
        made = cls()
        read = [Terms.restored(inner, under(str(place), arrays)) for place, inner in enumerate(notes["terms"])]
        *blocks, made._words, made._characters = read
        made._blocks = [(text, terms) for (text, _), terms in zip(made._blocks, blocks, strict=True)]
        made._scale = Scale(arrays["mean"], arrays["deviation"])
        return made

    def _terms(self) -> list[Terms]:
        return [*(terms for _, terms in self._blocks), self._words, self._characters]

    def _likenesses(self, pairs: Sequence[Sides]) -> Floats:
        columns = [np.array([_overlaps(pair) for pair in pairs], dtype=np.float64)]
        for terms in (self._words, self._characters):
            left = terms.transform([pair.left for pair in pairs])
            whole = row_cosines(left, terms.transform([pair.right for pair in pairs]))
            owners = [row for row, pair in enumerate(pairs) for _ in pair.parts]
            parts = terms.transform([part for pair in pairs for part in pair.parts])
            each = row_cosines(left[owners], parts) if owners else np.zeros(0)
            best, total, count = np.zeros(len(pairs)), np.zeros(len(pairs)), np.zeros(len(pairs))
            np.maximum.at(best, owners, each)
            np.add.at(total, owners, each)
            np.add.at(count, owners, 1.0)
            mean = total / np.maximum(count, 1.0)
            columns.append(np.stack([whole, whole**2, best, best**2, mean], axis=1))
        return np.concatenate(columns, axis=1)


def _overlaps(pair: Sides) -> list[float]:
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


def _shared(pair: Sides) -> str:
    return " ".join(sorted(_words(pair.left) & _words(pair.right)))


def _words(text: str) -> set[str]:
    return set(WORD.findall(text.casefold()))
