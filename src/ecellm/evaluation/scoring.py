"""From answer texts to per-row counts, by the strict rules and by the published ones.

Strict: an answer that cannot be parsed is wrong; it misses its row's class or triples and gains nothing.
Published: the rules of the authors' evaluation script, weaknesses included (`AnswerType.parse_published`
reads the texts): what cannot be parsed is mostly left out of every figure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal, Protocol

import numpy as np

from ecellm.evaluation.metrics import (
    BINARY_EPSILON,
    GAINS,
    RANKING_EPSILON,
    TRIPLE_EPSILON,
    Figures,
    Floats,
    binary_figures,
    hit_figures,
    macro_figures,
    mean_figures,
    ndcg,
    triple_figures,
)
from ecellm.records import Sample
from ecellm.tasks.answers import LETTERS, TRIPLE_KEYS, Letter, Ranking, Triples, YesNo
from ecellm.tasks.task import Task

#: What AVE says of an attribute that the text lacks, and where in a triple.
NO_VALUE = "None"
VALUE = TRIPLE_KEYS.index("value")

Scoring = Literal["strict", "published"]
SCORINGS: tuple[Scoring, ...] = ("strict", "published")


class PairScorer(Protocol):
    """Compares free texts with their references; `BertScorer` is one."""

    name: str

    def score(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Return precision, recall and F1 of (answer, reference) pairs, [pairs, 3]."""


class NotScorableError(ValueError):
    """The test rows lack what scoring needs; the sentence says what and what to do."""


@dataclass(frozen=True)
class Scored:
    """Per-row counts and how to make figures of their sums."""

    stats: Floats
    """[rows, k]"""
    figures: Callable[[Floats], Figures]
    """Sums [..., k] to arrays [...] by metric."""
    models: Mapping[str, str] = field(default_factory=dict)
    """The model that compared free texts, by the metrics that depend on one."""

    def values(self) -> dict[str, float]:
        """Return the figures of all rows."""
        return {name: float(value) for name, value in self.figures(self.stats.sum(0)).items()}


def read_answers(
    task: Task, scoring: Scoring, samples: Sequence[Sample], texts: Sequence[str]
) -> tuple[list[Any], int]:
    """Return what each text answers (None: nothing) and how many could not be parsed.

    Published QPR counts the pieces between commas that it skips, as its script does; all others count rows.
    """
    if scoring == "strict":
        answers = [task.answer.parse(text, sample) for sample, text in zip(samples, texts, strict=True)]
        return answers, sum(answer is None for answer in answers)
    answers = [task.answer.parse_published(text) for text in texts]
    if isinstance(task.answer, Ranking):
        pieces = sum(text.strip().count(",") + 1 for text in texts)
        kept = sum(
            len(_known_letters(answer or (), _labels(sample)))
            for answer, sample in zip(answers, samples, strict=True)
        )
        return answers, pieces - kept
    return answers, sum(answer is None for answer in answers)


#: From parsed answers (None: unparsed), one a row, to their counts.
RowScorer = Callable[[Sequence[Any]], Scored]


def score_answers(
    task: Task, scoring: Scoring, samples: Sequence[Sample], answers: Sequence[Any], pairs: PairScorer | None
) -> Scored:
    """Return the counts of parsed answers (None: unparsed) to as many samples; free texts need `pairs`.

    Raises NotScorableError where a label is missing or not of the task's form.
    """
    return row_scorer(task, scoring, samples, pairs)(answers)


def row_scorer(task: Task, scoring: Scoring, samples: Sequence[Sample], pairs: PairScorer | None) -> RowScorer:
    """Return what counts answers to these samples, having read their labels once.

    Raises NotScorableError where a label is missing or not of the task's form.
    """
    if isinstance(task.answer, YesNo):
        return _yes_no_scorer(scoring, samples)
    if isinstance(task.answer, Letter):
        return _letter_scorer(scoring, samples, hits_only=task.metric == "hr@1")
    if isinstance(task.answer, Ranking):
        return _ranking_scorer(scoring, samples)
    if isinstance(task.answer, Triples):
        return partial(_score_triples, scoring, samples)
    assert pairs is not None, task.name
    return partial(_score_texts, pairs, samples)


def row_values(task: Task, scored: Scored) -> Floats:
    """Return what each row contributes, [rows], from 0 (wrong) to 1 (right).

    The main metric of the row alone, but for tasks with classes whether it is right: an F1 needs many rows.
    """
    figures = scored.figures(scored.stats)
    return figures["accuracy"] if "accuracy" in figures else figures[task.metric]


def _yes_no_scorer(scoring: Scoring, samples: Sequence[Sample]) -> RowScorer:
    labels = [YesNo().parse_published(sample.output) for sample in samples]
    for sample, label in zip(samples, labels, strict=True):
        if label is None:
            raise _bad_label(sample, "neither yes nor no")
    epsilon = 0.0 if scoring == "strict" else BINARY_EPSILON

    def score(answers: Sequence[Any]) -> Scored:
        stats, shape = _confusion(labels, answers, YesNo.choices, keep_unparsed=scoring == "strict")
        return Scored(stats, lambda sums: binary_figures(sums.reshape(*sums.shape[:-1], *shape), epsilon))

    return score


def _letter_scorer(scoring: Scoring, samples: Sequence[Sample], hits_only: bool) -> RowScorer:
    labels = [sample.output.strip()[:1] for sample in samples]
    for sample, label in zip(samples, labels, strict=True):
        if not label or label not in LETTERS:
            raise _bad_label(sample, "no option's letter")
    over: Literal["labels", "labels and answers"] = "labels" if scoring == "strict" else "labels and answers"

    def hits(answers: Sequence[Any]) -> Scored:
        right = [label == answer for label, answer in zip(labels, answers, strict=True)]
        counted = [scoring == "strict" or answer is not None for answer in answers]
        return Scored(np.array([right, counted], dtype=np.float64).T, hit_figures)

    def classes(answers: Sequence[Any]) -> Scored:
        names = sorted({*labels, *(answer for answer in answers if answer is not None)})
        stats, shape = _confusion(labels, answers, names, keep_unparsed=scoring == "strict")
        return Scored(stats, lambda sums: macro_figures(sums.reshape(*sums.shape[:-1], *shape), over))

    return hits if hits_only else classes


def _confusion(
    labels: Sequence[Any], answers: Sequence[Any], classes: Iterable[str], keep_unparsed: bool
) -> tuple[Floats, tuple[int, int]]:
    """Return each row's cell of the confusion array, one-hot [rows, C * (C + 1)], and its shape [C, C + 1].

    A row whose answer is None stands in the last column, or counts nowhere.
    """
    place: dict[Any, int] = {name: number for number, name in enumerate(classes)}
    shape = (len(place), len(place) + 1)
    place[None] = len(place)
    said = np.array([place[answer] for answer in answers], dtype=np.int64)
    cells = np.array([place[label] for label in labels], dtype=np.int64) * shape[1] + said
    stats = np.zeros((len(labels), shape[0] * shape[1]))
    rows = np.arange(len(labels)) if keep_unparsed else np.flatnonzero(said < shape[0])
    stats[rows, cells[rows]] = 1.0
    return stats, shape


def _ranking_scorer(scoring: Scoring, samples: Sequence[Sample]) -> RowScorer:
    """NDCG: strict against the full ideal order, published against the ideal order of what was named."""
    labels = [_labels(sample) for sample in samples]
    value = _strict_ndcg if scoring == "strict" else _published_ndcg

    def score(answers: Sequence[Any]) -> Scored:
        values = [value(row, tuple(answer or ())) for row, answer in zip(labels, answers, strict=True)]
        stats = np.array([values, np.ones(len(values))], dtype=np.float64).T
        return Scored(stats, partial(mean_figures, names=("ndcg",)))

    return score


# Lists are short and labels four: the same few lists come again and again.
@lru_cache(maxsize=100_000)
def _strict_ndcg(labels: tuple[str, ...], answer: tuple[str, ...]) -> float:
    gains = _gains(labels)
    return ndcg([gains[letter] for letter in _known_letters(answer, labels)], list(gains.values()))


@lru_cache(maxsize=100_000)
def _published_ndcg(labels: tuple[str, ...], answer: tuple[str, ...]) -> float:
    gains = _gains(labels)
    ranked = [gains[letter] for letter in _known_letters(answer, labels)]
    return ndcg(ranked, ranked, RANKING_EPSILON)


def _labels(sample: Sample) -> tuple[str, ...]:
    if not sample.labels or not set(sample.labels) <= GAINS.keys():
        raise NotScorableError(
            f"{sample.task} test rows have no labels (E, S, C or I for each letter), so no ranking can be "
            "scored: import them again with --qpr-labels."
        )
    return sample.labels


def _gains(labels: Sequence[str]) -> dict[str, float]:
    return {LETTERS[place]: GAINS[label] for place, label in enumerate(labels)}


def _known_letters(answer: Sequence[str], labels: Sequence[str]) -> list[str]:
    return [letter for letter in answer if letter in LETTERS[: len(labels)]]


def _score_triples(scoring: Scoring, samples: Sequence[Sample], answers: Sequence[Any]) -> Scored:
    """Count hits, predicted and label triples of each row.

    Strict counts distinct triples, equal in attribute, value and source; "None" for an attribute that the
    text lacks is a triple like others. Published compares every label with every predicted item, so that
    duplicates hit again.
    """
    count = _strict_triples if scoring == "strict" else _published_triples
    stats = [count(sample, answer or []) for sample, answer in zip(samples, answers, strict=True)]
    epsilon = 0.0 if scoring == "strict" else TRIPLE_EPSILON
    figures = partial(triple_figures, epsilon=epsilon)
    return Scored(np.array(stats, dtype=np.float64).reshape(-1, 3), figures)


def _strict_triples(sample: Sample, answer: list[dict[str, str]]) -> tuple[int, int, int]:
    labels, said = _distinct(_label_triples(sample)), _distinct(answer)
    return len(labels & said), len(said), len(labels)


def triple_counts(sample: Sample, answer: list[dict[str, str]], none: bool) -> tuple[int, int, int]:
    """Return a row's distinct hits, predicted and label triples that say "None" (`none`), or that have a value."""
    labels, said = (
        {triple for triple in _distinct(triples) if (triple[VALUE] == NO_VALUE) == none}
        for triples in (_label_triples(sample), answer)
    )
    return len(labels & said), len(said), len(labels)


def _distinct(triples: Iterable[dict[str, str]]) -> set[tuple[str, ...]]:
    return {tuple(item[key] for key in TRIPLE_KEYS) for item in triples}


def _published_triples(sample: Sample, answer: list[Any]) -> tuple[int, int, int]:
    labels = _label_triples(sample)
    # The script fails on items that are not objects; here they do not count.
    items = [item for item in answer if isinstance(item, dict)]
    lenient = sample.domain == "OOD"
    hits = sum(_same(label, item) or (lenient and _contained(label, item)) for label in labels for item in items)
    return hits, sum("attribute" in item for item in items), len(labels)


def _same(label: dict[str, str], item: dict[str, Any]) -> bool:
    return all(item.get(key) == label[key] for key in TRIPLE_KEYS)


def _contained(label: dict[str, str], item: dict[str, Any]) -> bool:
    """Whether value and source (as texts) each contain the other's, either way; an empty text always does."""
    if item.get("attribute") != label["attribute"]:
        return False
    for key in ("value", "source"):
        if item.get(key) is None:
            return False
        said, wanted = str(item[key]), label[key]
        if said not in wanted and wanted not in said:
            return False
    return True


def _label_triples(sample: Sample) -> list[dict[str, str]]:
    labels = Triples().parse(sample.output, sample)
    if labels is None:
        raise _bad_label(sample, "no list of attribute, value and source")
    return labels


def _score_texts(pairs: PairScorer, samples: Sequence[Sample], answers: Sequence[Any]) -> Scored:
    """Return the means of BERTScore, ROUGE-L and chrF; an empty answer scores 0 under both rules."""
    from ecellm.evaluation.overlap import NAMES, overlap

    said = [(answer or "", sample.output) for sample, answer in zip(samples, answers, strict=True)]
    stats = np.concatenate([pairs.score(said), overlap(said), np.ones((len(said), 1))], axis=1)
    by_model = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
    return Scored(stats, partial(mean_figures, names=(*by_model, *NAMES)), dict.fromkeys(by_model, pairs.name))


def _bad_label(sample: Sample, problem: str) -> NotScorableError:
    return NotScorableError(
        f"The test row {sample.id} has the output {sample.output[:60]!r}, which is {problem}: "
        "correct or remove it, then make the dataset again."
    )
