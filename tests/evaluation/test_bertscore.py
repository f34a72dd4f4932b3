"""BERTScore with the local MiniLM: each pair by itself, whatever stands beside it."""

import warnings

import numpy as np
import pytest
from torchmetrics.functional.text.bert import bert_score
from transformers import AutoModel, AutoTokenizer

from ecellm.evaluation.bertscore import BertScorer
from ecellm.models.minilm import minilm_folder

PAIRS = [
    ("a long sentence about cats and dogs and more", "cats"),
    ("no", "no"),
    ("it fits well", "it fits well and is a very long one in here now"),
    ("yes it is good for the whole family", "yes"),
]


@pytest.fixture(scope="module")
def scorer() -> BertScorer:
    return BertScorer()


def test_equal_texts_score_one_and_figures_are_bounded(scorer: BertScorer) -> None:
    figures = scorer.score(PAIRS)
    assert figures.shape == (4, 3)
    assert figures[1] == pytest.approx(1.0, abs=1e-5)
    assert (figures >= 0).all() and (figures <= 1 + 1e-5).all()
    precision, recall, f1 = figures[0]
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)


def test_answer_and_reference_change_places(scorer: BertScorer) -> None:
    there = scorer.score(PAIRS)
    back = scorer.score([(reference, answer) for answer, reference in PAIRS])
    assert there[:, 0] == pytest.approx(back[:, 1], abs=1e-5)
    assert there[:, 2] == pytest.approx(back[:, 2], abs=1e-5)


def test_agrees_with_torchmetrics_on_each_pair_alone() -> None:
    folder = minilm_folder()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    figures = BertScorer().score(PAIRS)
    for (answer, reference), found in zip(PAIRS, figures, strict=True):
        wanted = bert_score([answer], [reference], model=model, user_tokenizer=tokenizer, truncation=True)
        assert found == pytest.approx([float(wanted[name]) for name in ("precision", "recall", "f1")], abs=1e-5)


def test_a_pair_scores_the_same_in_any_company(scorer: BertScorer) -> None:
    alone = np.concatenate([BertScorer().score([pair]) for pair in PAIRS])
    assert scorer.score([*PAIRS[::-1], *PAIRS])[4:] == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("empty", ["", "  \n", "\x00", "\u200b"])
def test_texts_without_a_token_score_nought(scorer: BertScorer, empty: str) -> None:
    assert not scorer.score([(empty, "yes"), ("yes", empty), (empty, empty)]).any()


def test_odd_and_enormous_texts(scorer: BertScorer, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = scorer.score([("\ud800 mug", "mug"), ("mug " * 50_000, "mug"), ("茶杯 🍵", "茶杯")])
    assert np.isfinite(figures).all()
    assert scorer.score([]).shape == (0, 3)
    assert capsys.readouterr() == ("", "")
