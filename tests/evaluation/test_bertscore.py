"""BERTScore with the local MiniLM: each pair by itself, whatever stands beside it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import processors
from torchmetrics.functional.text.bert import bert_score
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel

from ecellm.evaluation.bertscore import BertScorer
from ecellm.models.minilm import minilm_folder
from tiny_models import tokenizer_for

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


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny RoBERTa of three layers, with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    tokenizer = tokenizer_for("llama")
    ends = [("<s>", 2), ("</s>", 1)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=ends)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=600, pad_token_id=0, **size)
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_another_model_and_layer_are_taken_and_named(roberta: Path) -> None:
    scorer = BertScorer(str(roberta), 2)
    assert scorer.name == "tiny-roberta, layer 2"
    found = scorer.score(PAIRS)
    tokenizer, model = AutoTokenizer.from_pretrained(roberta), AutoModel.from_pretrained(roberta)
    for (answer, reference), figures in zip(PAIRS, found, strict=True):
        wanted = bert_score(
            [answer],
            [reference],
            model=model,
            user_tokenizer=tokenizer,
            num_layers=2,
            truncation=True,
            max_length=512,
        )
        assert figures == pytest.approx([float(wanted[name]) for name in ("precision", "recall", "f1")], abs=1e-5)
    assert not np.allclose(found, BertScorer(str(roberta), 3).score(PAIRS), atol=1e-4)


def test_a_model_that_cannot_be_had_is_named(roberta: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 3 layers: choose one of them with --bertscore-layer"):
        BertScorer(str(roberta), 17).score(PAIRS)
    with pytest.raises(ValueError, match="cannot be loaded as BERTScore's model"):
        BertScorer(str(tmp_path), 17).score(PAIRS)
