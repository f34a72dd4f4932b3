"""ROUGE-L and chrF: by hand, as other libraries have them, and of any text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu import sentence_chrf

from ecellm.tasks.text_overlap import MOST_WORDS, overlap


def test_rouge_l_by_hand() -> None:
    # The longest common subsequence of 4 and 3 words is "it fits": P 2/4, R 2/3.
    assert overlap([("It really fits, yes", "it fits well")])[0, 0] == pytest.approx(
        2 * 0.5 * (2 / 3) / (0.5 + 2 / 3)
    )


@settings(max_examples=40)
@given(pair=st.tuples(st.text(max_size=40), st.text(max_size=40)))
def test_any_texts_are_bounded_and_equal_ones_are_alike(pair: tuple[str, str]) -> None:
    figures = overlap([pair, pair])
    assert ((figures >= 0) & (figures <= 1 + 1e-9)).all() and (figures[0] == figures[1]).all()


@settings(max_examples=40)
@given(
    words=st.lists(
        st.lists(st.sampled_from(["red", "mug", "it's", "9", "fits"]), max_size=12), min_size=2, max_size=2
    )
)
def test_agreement_with_rouge_score_and_sacrebleu(words: list[list[str]]) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    answer, reference = (" ".join(part) for part in words)
    rouge, chrf = overlap([(answer, reference)])[0]
    if answer and reference:
        assert rouge == pytest.approx(
            rouge_scorer.RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure, abs=1e-6
        )
        assert chrf == pytest.approx(sentence_chrf(answer, [reference]).score / 100)
    else:
        assert (rouge, chrf) == (0, 0)


def test_enormous_texts_are_cut() -> None:
    figures = overlap([("word " * 200_000, "word " * MOST_WORDS), ("x" * 1_000_000, "x"), ("\ud800", "mug")])
    assert figures[0] == pytest.approx([1.0, 1.0])
    assert np.isfinite(figures).all()
    assert overlap([]).shape == (0, 2)
