"""The figures of the ten tasks, computed from sums of per-row counts.

Every function takes sums over rows, with any leading axes (such as bootstrap draws), and returns arrays of
those leading axes. So a figure of the whole test set and of a thousand resampled ones is one call.

A confusion array has shape [..., classes, classes + 1]: labels by answers; the last column counts answers
that name no class. Such an answer misses its row's class and is a prediction of no class. An undefined
figure (0 / 0) is 0, as in the published evaluation.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Figures = dict[str, Floats]

#: What the published script adds to some denominators (facts of its released code).
BINARY_EPSILON = 1e-8
TRIPLE_EPSILON = 1e-6
RANKING_EPSILON = 1e-6

#: Gains of the ESCI labels in NDCG (Shopping Queries, Reddy et al. 2022, section 5.1).
GAINS = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return numerator / denominator, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def harmonic(precision: Floats, recall: Floats, epsilon: float = 0.0) -> Floats:
    """Return F1 = 2 P R / (P + R + epsilon), 0 where that is undefined."""
    return ratio(2 * precision * recall, precision + recall + epsilon)


def binary_figures(confusion: Floats, epsilon: float = 0.0) -> Figures:
    """Return accuracy, and precision, recall and F1 of class 0 (yes), specificity, and NPV.

    `confusion` has shape [..., 2, 3]. Specificity is tn / (tn + fp + unparsed rows whose label is no) and
    negative predictive value tn / (tn + fn); `epsilon` is added to these two denominators.
    """
    tp, fn, tn, fp = (confusion[..., 0, 0], confusion[..., 0, 1], confusion[..., 1, 1], confusion[..., 1, 0])
    positive, negative = confusion[..., 0, :].sum(-1), confusion[..., 1, :].sum(-1)
    precision, recall = ratio(tp, tp + fp), ratio(tp, positive)
    return {
        "accuracy": ratio(tp + tn, positive + negative),
        "precision": precision,
        "recall": recall,
        "f1": harmonic(precision, recall),
        "specificity": ratio(tn, negative + epsilon),
        "npv": ratio(tn, tn + fn + epsilon),
    }


def macro_figures(confusion: Floats, over: Literal["labels", "labels and answers"]) -> Figures:
    """Return accuracy and the unweighted means over classes of precision, recall and F1.

    `confusion` has shape [..., C, C + 1]. The classes averaged are those that occur: in the labels (strict),
    or in labels or answers (published, scikit-learn's rule).
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    labelled, answered = confusion.sum(-1), confusion[..., :-1].sum(-2)
    occurs = labelled > 0 if over == "labels" else (labelled + answered) > 0
    precision, recall = ratio(hits, answered), ratio(hits, labelled)
    classes = occurs.sum(-1).astype(np.float64)

    def mean(values: Floats) -> Floats:
        return ratio((values * occurs).sum(-1), classes)

    return {
        "accuracy": ratio(hits.sum(-1), labelled.sum(-1)),
        "macro_precision": mean(precision),
        "macro_recall": mean(recall),
        "macro_f1": mean(harmonic(precision, recall)),
    }


def hit_figures(sums: Floats) -> Figures:
    """Return HR@1 from [..., 2]: rows whose first choice is the target, and rows."""
    return {"hr@1": ratio(sums[..., 0], sums[..., 1])}


def triple_figures(sums: Floats, epsilon: float = 0.0) -> Figures:
    """Return precision, recall and F1 over triples from [..., 3]: hits, predicted and label triples.

    The published script adds `epsilon` to the denominators of precision and F1, not to that of recall.
    """
    hits, predicted, labelled = sums[..., 0], sums[..., 1], sums[..., 2]
    precision, recall = ratio(hits, predicted + epsilon), ratio(hits, labelled)
    return {"precision": precision, "recall": recall, "f1": harmonic(precision, recall, epsilon)}


def mean_figures(sums: Floats, names: Sequence[str]) -> Figures:
    """Return means over rows from [..., names + 1]: the summed values, then the number of rows."""
    return {name: ratio(sums[..., place], sums[..., -1]) for place, name in enumerate(names)}


def dcg(gains: Sequence[float]) -> float:
    """Return sum of (2^gain - 1) / log2(position + 2), positions from 0 (Burges et al. 2005)."""
    values = np.asarray(gains, dtype=np.float64)
    return float(((2.0**values - 1.0) / np.log2(np.arange(len(values)) + 2.0)).sum())


def ndcg(ranked: Sequence[float], ideal: Sequence[float], epsilon: float = 0.0) -> float:
    """Return DCG of the gains as ranked over DCG of `ideal` sorted best first; 0 where that is 0 / 0."""
    best = dcg(sorted(ideal, reverse=True)) + epsilon
    return dcg(ranked) / best if best else 0.0


def class_metric(name: str, classes: int) -> Callable[[NDArray[np.int64], NDArray[np.int64]], float]:
    """Return a fast `metric(labels, chosen)` over class numbers in [0, classes).

    `name` is accuracy, f1 (of class 0: yes) or macro_f1 (over the classes of the labels). For fitting
    thresholds, where it is called tens of thousands of times: F1 is 2 tp / (labelled + answered).
    """
    assert name in ("accuracy", "f1", "macro_f1"), name

    def accuracy(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
        return float((labels == chosen).mean())

    def f1(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
        labelled, answered = np.bincount(labels, minlength=classes), np.bincount(chosen, minlength=classes)
        hits = np.bincount(labels[labels == chosen], minlength=classes)
        each = 2 * hits / np.maximum(labelled + answered, 1)
        return float(each[0] if name == "f1" else each[labelled > 0].mean())

    return accuracy if name == "accuracy" else f1
