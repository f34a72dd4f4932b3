"""BERTScore: each pair by itself, whatever stands beside it; a named model as in the published evaluation."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from torchmetrics.functional.text.bert import bert_score
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel, RobertaTokenizer

from ecellm.errors import EcellmError
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


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny RoBERTa of three layers and random weights, with a byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    trained = ByteLevelBPETokenizer()
    ends = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator([text for pair in PAIRS for text in pair] * 5, 400, 1, special_tokens=ends)
    folder.mkdir()
    trained.save_model(str(folder))
    tokenizer = RobertaTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    places = {"max_position_embeddings": 514, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    RobertaModel(RobertaConfig(vocab_size=len(tokenizer), **places, **size), add_pooling_layer=False).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return folder


def as_published(folder: Path, layer: int, answer: str, reference: str) -> list[float]:
    """What bert_score 0.3.13 computes (`greedy_cos_idf`, no idf), written down again.

    `<s>` and `</s>` have weight 0 among the tokens of their own text, and can be matched by those of the other; texts
    are stripped, and begin with a space.
    """
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    states = []
    for text in (answer, reference):
        ids = tokenizer.encode(" " + text.strip(), truncation=True, max_length=512, return_tensors="pt")
        with torch.no_grad():
            found = model(ids, output_hidden_states=True).hidden_states[layer][0]
        states.append(found / found.norm(dim=-1, keepdim=True))
    best = states[0] @ states[1].T
    precision = float(best.max(1).values[1:-1].mean())
    recall = float(best.max(0).values[1:-1].mean())
    return [precision, recall, 2 * precision * recall / (precision + recall)]


@pytest.mark.parametrize("layer", [2, 3])
def test_a_named_model_is_used_as_the_published_evaluation_uses_it(roberta: Path, layer: int) -> None:
    pairs = [*PAIRS, ("  Yes.\n", "no"), ("茶杯 🍵", "cats"), ("mug " * 2_000, "a cat")]
    scorer = BertScorer(str(roberta), layer)
    assert scorer.name == f"tiny-roberta, layer {layer}"
    for (answer, reference), found in zip(pairs, scorer.score(pairs), strict=True):
        assert found == pytest.approx(as_published(roberta, layer, answer, reference), abs=1e-5), answer


def test_a_named_model_s_tokens_around_a_text_can_be_matched(roberta: Path) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(roberta), AutoModel.from_pretrained(roberta)
    apart = [bert_score(*([text] for text in pair), model=model, user_tokenizer=tokenizer) for pair in PAIRS[:1]]
    found = BertScorer(str(roberta)).score(PAIRS[:1])
    assert found[0, 0] > float(apart[0]["precision"]) + 1e-4  # torchmetrics leaves them out


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_a_named_model_gives_nothing_for_an_empty_text(roberta: Path, empty: str) -> None:
    assert not BertScorer(str(roberta), 2).score([(empty, "yes"), ("yes", empty)]).any()


def test_a_named_model_loads_without_a_word(roberta: Path, capfd: pytest.CaptureFixture[str]) -> None:
    BertScorer(str(roberta), 2).score(PAIRS)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_cannot_be_had_is_named(roberta: Path, tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match=r"has 3 layers: choose one of them with --bertscore-layer"):
        BertScorer(str(roberta), 17).score(PAIRS)
    with pytest.raises(EcellmError, match="has no weights"):
        BertScorer(str(tmp_path), 2).score(PAIRS)
    (tmp_path / "model.safetensors").write_bytes((roberta / "model.safetensors").read_bytes())
    with pytest.raises(EcellmError, match="cannot be loaded as BERTScore's model"):
        BertScorer(str(tmp_path), 17).score(PAIRS)
    with pytest.raises(EcellmError, match=r"There is no folder .*nothing"):
        BertScorer(str(tmp_path / "nothing"), 17).score(PAIRS)
