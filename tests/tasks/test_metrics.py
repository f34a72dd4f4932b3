"""The figures against cases worked out by hand, and against scikit-learn where it has them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, ndcg_score, precision_recall_fscore_support
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_f1_score,
    binary_negative_predictive_value,
    binary_precision,
    binary_recall,
    binary_specificity,
)

from ecellm.tasks.metrics import (
    GAINS,
    binary_figures,
    class_metric,
    dcg,
    hit_figures,
    macro_figures,
    mean_figures,
    ndcg,
    triple_figures,
)


def confusion(labels: list[int], answers: list[int], classes: int) -> np.ndarray:
    """Labels by answers; an answer equal to `classes` names no class."""
    counts = np.zeros((classes, classes + 1))
    np.add.at(counts, (labels, answers), 1)
    return counts


def test_binary_by_hand() -> None:
    # 3 yes: two found, one unparsed. 5 no: one answered yes, three no, one unparsed.
    counts = np.array([[2.0, 0.0, 1.0], [1.0, 3.0, 1.0]])
    figures = binary_figures(counts)
    assert figures["accuracy"] == 5 / 8
    assert figures["precision"] == 2 / 3
    assert figures["recall"] == 2 / 3
    assert figures["f1"] == pytest.approx(2 / 3)
    assert figures["specificity"] == 3 / 5
    assert figures["npv"] == 1.0


def test_macro_by_hand() -> None:
    # Class 0: two labels, one found, one unparsed; class 1: one label, answered 2; class 2 has no label.
    counts = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    strict = macro_figures(counts, "labels")
    assert strict["accuracy"] == pytest.approx(1 / 3)
    assert strict["macro_recall"] == pytest.approx((1 / 2 + 0) / 2)
    assert strict["macro_precision"] == pytest.approx((1 + 0) / 2)
    assert strict["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert macro_figures(counts, "labels and answers")["macro_f1"] == pytest.approx((2 / 3) / 3)


def test_nothing_scored_is_zero_not_a_warning() -> None:
    assert set(map(float, binary_figures(np.zeros((2, 3))).values())) == {0.0}
    assert set(map(float, macro_figures(np.zeros((4, 5)), "labels").values())) == {0.0}
    assert set(map(float, triple_figures(np.zeros(3)).values())) == {0.0}
    assert float(hit_figures(np.zeros(2))["hr@1"]) == 0.0
    assert float(mean_figures(np.zeros(2), ("ndcg",))["ndcg"]) == 0.0


def test_triples_by_hand() -> None:
    figures = triple_figures(np.array([3.0, 4.0, 6.0]))
    assert figures["precision"] == 0.75 and figures["recall"] == 0.5 and figures["f1"] == pytest.approx(0.6)
    published = triple_figures(np.array([3.0, 4.0, 6.0]), epsilon=1e-6)
    assert published["precision"] == 3 / (4 + 1e-6) and published["recall"] == 0.5
    precision = 3 / (4 + 1e-6)
    assert published["f1"] == pytest.approx(2 * precision * 0.5 / (precision + 0.5 + 1e-6), abs=1e-15)


def test_ndcg_by_hand() -> None:
    # S, E, C as ranked: 2^.1 - 1 = .071773 at place 0; 1 / log2(3) = .630930; .006956 / 2.
    assert dcg([0.1, 1.0, 0.01]) == pytest.approx(0.071773 + 0.630930 + 0.003478, abs=1e-6)
    ideal = 1.0 + 0.071773 / np.log2(3) + 0.006956 / 2
    assert ndcg([0.1, 1.0, 0.01], [1.0, 0.1, 0.01]) == pytest.approx(0.706181 / ideal, abs=1e-5)
    assert ndcg([0.0], [0.0, 0.0]) == 0.0
    assert ndcg([], [1.0]) == 0.0


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_binary_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, answers = [label for label, _ in pairs], [answer for _, answer in pairs]
    figures = binary_figures(confusion(labels, answers, 2))
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, answers, average="binary", pos_label=0, labels=[0, 1], zero_division=0.0
    )
    wanted = [accuracy_score(labels, answers), precision, recall, f1]
    found = [figures[name] for name in ("accuracy", "precision", "recall", "f1")]
    assert found == pytest.approx(wanted)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_macro_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, answers = [label for label, _ in pairs], [answer for _, answer in pairs]
    counts = confusion(labels, answers, 4)
    for over, classes in (("labels and answers", None), ("labels", sorted(set(labels)))):
        figures = macro_figures(counts, over)
        wanted = precision_recall_fscore_support(labels, answers, average="macro", labels=classes, zero_division=0.0)[
            :3
        ]
        found = [figures[name] for name in ("macro_precision", "macro_recall", "macro_f1")]
        assert found == pytest.approx(wanted)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_the_fast_metrics_are_the_same_figures(pairs: list[tuple[int, int]]) -> None:
    labels, answers = np.array(pairs).T
    figures = macro_figures(confusion(list(labels), list(answers), 3), "labels")
    assert class_metric("macro_f1", 3)(labels, answers) == pytest.approx(figures["macro_f1"])
    assert class_metric("accuracy", 3)(labels, answers) == pytest.approx(figures["accuracy"])
    two = np.minimum(labels, 1), np.minimum(answers, 1)
    wanted = binary_figures(confusion(list(two[0]), list(two[1]), 2))["f1"]
    assert class_metric("f1", 2)(*two) == pytest.approx(wanted)


@given(st.permutations("ESCI").flatmap(lambda order: st.tuples(st.just(order), st.integers(2, 4))))
def test_full_ndcg_agrees_with_scikit_learn(drawn: tuple[list[str], int]) -> None:
    ranked = [GAINS[label] for label in drawn[0]][: drawn[1]]
    exponential = [[2**gain - 1 for gain in ranked]]
    wanted = ndcg_score(exponential, [list(range(len(ranked), 0, -1))])
    assert ndcg(ranked, ranked) == pytest.approx(wanted if any(ranked) else 0.0)


@given(st.integers(1, 5), st.integers(0, 10_000))
def test_figures_of_many_draws_are_those_of_each(classes: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 4, size=(6, classes, classes + 1)).astype(float)
    together = macro_figures(counts, "labels")
    for draw in range(6):
        alone = macro_figures(counts[draw], "labels")
        assert all(together[name][draw] == alone[name] for name in alone)
        assert all(0.0 <= value <= 1.0 for value in alone.values())


@given(
    rows=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=30).filter(
        lambda rows: len({label for label, _ in rows}) == 2
    )
)
def test_agreement_with_torchmetrics_on_yes_and_no(rows: list[tuple[int, int]]) -> None:
    """Our class 0 is yes, its class 1 is yes."""
    labels, answers = (torch.tensor([1 - row[place] for row in rows]) for place in (0, 1))
    figures = binary_figures(confusion([label for label, _ in rows], [answer for _, answer in rows], 2))
    theirs = {
        "accuracy": binary_accuracy,
        "precision": binary_precision,
        "recall": binary_recall,
        "f1": binary_f1_score,
        "specificity": binary_specificity,
        "npv": binary_negative_predictive_value,
    }
    for name, figure in theirs.items():
        assert figures[name] == pytest.approx(float(figure(answers, labels)), abs=1e-6), name
