"""The encoder classifiers and the ranker: their losses, what they learn, on any encoder, alike every time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_tfidf import made, save
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    RobertaConfig,
    RobertaModel,
)

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.baselines.base import Choices
from ecellm.models.baselines.encoder import GREATEST, MEAN, Encoder, grades, mean_ndcg, ranknet
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.baselines.text_encoder import load_encoder, longest_text, padded, tokens_of
from ecellm.models.baselines.training import batches
from ecellm.models.folder import model_hash
from ecellm.models.lexical.text_pairs import segments
from ecellm.models.load import load_generator
from ecellm.models.minilm import minilm_folder
from ecellm.types import Example
from fitted import answered, scored
from tiny_models import save_tiny

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
ENCODERS: dict[str, Any] = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "roberta": lambda: RobertaModel(RobertaConfig(vocab_size=30522, type_vocab_size=1, pad_token_id=0, **SIZES)),
    "deberta": lambda: DebertaV2Model(
        DebertaV2Config(vocab_size=30522, relative_attention=True, pos_att_type=["c2p", "p2c"], **SIZES)
    ),
}


def encoder(kind: str, folder: Path) -> Path:
    """A tiny random encoder with MiniLM's tokenizer."""
    torch.manual_seed(0)
    ENCODERS[kind]().save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
    return folder


def deberta_v3(folder: Path) -> Path:
    """A tiny random DeBERTaV3 as the hub has it: the tokenizer is a SentencePiece model."""
    encoder("deberta", folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    texts = [f"a red lamp of {n} watts, {n * 7} hours and a cord" for n in range(200)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "spm"),
        vocab_size=80,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
        minloglevel=2,
    )
    return folder


def bertweet(folder: Path) -> Path:
    """A tiny random BERTweet as the hub has it: a tokenizer in Python, and few places."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=64, max_position_embeddings=26, type_vocab_size=1, tokenizer_class="BertweetTokenizer", **SIZES
    )
    RobertaModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("the 10\nqui@@ 9\nck 8\nfox 7\nla@@ 5\nzy 3\n")
    (folder / "bpe.codes").write_text(
        "t h 9\nth e</w> 8\nq u 7\nqu i 6\nc k</w> 5\nf o 4\nfo x</w> 3\nz y</w> 2\nl a 1\n"
    )
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    counts = {"train": 12, "validation": 4, "test": 6}
    tasks = ("PM", "SA", "QPR", "AP")
    rows = [made(task, split, n) for task in tasks for split, count in counts.items() for n in range(count)]  # type: ignore[arg-type]
    return save(tmp_path_factory.mktemp("small") / "data", rows)


@pytest.mark.parametrize("kind", ENCODERS)
def test_any_encoder_is_tuned_saved_and_asked(kind: str, small: Dataset, tmp_path: Path) -> None:
    base = encoder(kind, tmp_path / "base")
    lines = answered("encoder", small, tmp_path, choices=Choices(str(base), epochs=1))
    assert {line["task"] for line in lines} == {"PM", "SA", "QPR", "AP"} and all(line["answer"] for line in lines)
    assert json.loads((tmp_path / "model" / "ecellm.json").read_text())["tasks"] == ["PM", "SA", "QPR", "AP"]


@pytest.mark.parametrize("made_by", [deberta_v3, bertweet])
def test_encoders_with_tokenizers_of_their_own_read_after_saving_what_they_read_before(
    made_by: Callable[[Path], Path], small: Dataset, tmp_path: Path
) -> None:
    base = made_by(tmp_path / "base")
    lines = answered("encoder", small, tmp_path, ["PM", "QPR"], choices=Choices(str(base), epochs=1))
    assert {line["task"] for line in lines} == {"PM", "QPR"} and all(line["answer"] for line in lines)
    before = AutoTokenizer.from_pretrained(base)
    after = load_generator(tmp_path / "model").models["PM"].pairs.tokenizer  # type: ignore[attr-defined]
    text = "the quick fox, a red lamp of 5 watts"
    assert after(text)["input_ids"] == before(text)["input_ids"]
    assert len(set(before(text)["input_ids"])) > 6, "most of the text is in the vocabulary"


@pytest.mark.parametrize("made_by", [deberta_v3, bertweet, lambda folder: encoder("bert", folder)])
def test_of_a_pair_the_second_text_is_known(made_by: Callable[[Path], Path], tmp_path: Path) -> None:
    _, tokenizer = load_encoder(str(made_by(tmp_path / "base")))
    left, right = "the quick the", "lazy fox"
    found = tokens_of(tokenizer, (left, right), 100)
    second = [token for token, marked in zip(found["input_ids"], found["second"], strict=True) if marked]
    assert second == tokenizer(right, add_special_tokens=False)["input_ids"]
    assert not any(tokens_of(tokenizer, (left,), 100)["second"])


def test_a_text_is_cut_to_the_places_that_an_encoder_has(small: Dataset, tmp_path: Path) -> None:
    body, tokenizer = load_encoder(str(bertweet(tmp_path / "base")))
    longest = longest_text(body, tokenizer)
    assert longest == 24
    found = tokens_of(tokenizer, ("the " * 50, "fox " * 50), longest)
    assert len(found["input_ids"]) == longest and sum(found["second"]) == 10
    states = body(input_ids=torch.tensor([found["input_ids"]])).last_hidden_state
    assert torch.isfinite(states).all()
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        body(input_ids=torch.tensor([[4] * (longest + 1)]))


def test_values_need_a_tokenizer_that_says_where_tokens_stand(tmp_path: Path) -> None:
    data = save(tmp_path / "data", [made("AVE", "train", n) for n in range(3)])
    base = bertweet(tmp_path / "base")
    with pytest.raises(EcellmError, match="does not say where in a text its tokens stand"):
        fit_baseline("aveqa", data, tmp_path / "model", choices=Choices(str(base)))
    assert not (tmp_path / "model").exists()


def test_equal_seeds_give_equal_models_and_others_do_not(small: Dataset, tiny_base: Path, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> str:
        answered("encoder", small, tmp_path / name, ["PM"], choices=Choices(str(tiny_base), 1, seed=seed))
        return model_hash(tmp_path / name / "model")

    torch.manual_seed(5)
    first = weights("a", 1)
    torch.manual_seed(6)
    assert weights("b", 1) == first != weights("c", 2)


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("SA", "A word. " * 100),
        ("AP", json.dumps({"question": "word " * 300, "document": ["word " * 90] * 9})),
        ("AP", json.dumps({"question": "word", "document": []})),
    ],
)
def test_answers_do_not_depend_on_their_batch(
    task: str, text: str, small: Dataset, tiny_base: Path, tmp_path: Path
) -> None:
    answered("encoder", small, tmp_path, [task], choices=Choices(str(tiny_base), 1))
    model = load_generator(tmp_path / "model").models[task]  # type: ignore[attr-defined]
    examples = small.examples("test", "IND", [task])
    long = Example("long", task, "IND", "test", text, examples[0].options, "")
    alone = [model.reply([example])[0] for example in examples]
    together = model.reply([*examples, long])[:-1]
    assert [one.text for one in alone] == [one.text for one in together]
    assert [one.probability for one in alone] == pytest.approx([one.probability for one in together], abs=1e-5)


def test_a_review_falls_into_sentences_and_a_document_into_snippets() -> None:
    review = Example("a", "SA", "IND", "test", "Good? No!  It broke.\nSent back 2.5 kg of it", None, "")
    assert segments(review) == ("Good?", "No!", "It broke.", "Sent back 2.5 kg of it")
    assert segments(Example("a", "SA", "IND", "test", "", None, "")) == ("",)
    assert segments(made("AP", "test", 1))[0].startswith("The ")
    assert segments(made("PM", "test", 1)) == ()


@pytest.mark.parametrize(("pooling", "pooled"), [(GREATEST, torch.amax), (MEAN, torch.mean)])
def test_pieces_are_scored_one_by_one_and_then_pooled(
    pooling: str, pooled: Callable[..., torch.Tensor], tmp_path: Path
) -> None:
    body, tokenizer = load_encoder(str(encoder("bert", tmp_path / "base")))
    net = Encoder(body, 3, pooling).eval()
    rows = [
        ("is it red", ["it is red", "a lamp of 5 watts and a cord"]),
        ("a cord", ["no"]),
        ("red", ["a", "b", "c"]),
    ]
    compared = pooling == GREATEST

    def scores(rows: list[tuple[str, list[str]]]) -> torch.Tensor:
        texts = [first for first, _ in rows if compared] + [piece for _, found in rows for piece in found]
        inputs = padded([tokens_of(tokenizer, [text], 64) for text in texts], tokenizer, body.config, "cpu")
        owners = [place for place, (_, found) in enumerate(rows) for _ in found]
        return net.by_pieces(inputs, torch.tensor(owners))

    with torch.inference_mode():
        together = scores(rows)
        for place, (first, found) in enumerate(rows):
            alone = torch.cat([scores([(first, [piece])]) for piece in found])
            assert torch.allclose(together[place], pooled(alone, 0), atol=1e-4)
    assert together.shape == (3, 3) and not torch.allclose(together[0], together[1])


def test_a_changed_file_is_refused_and_another_task_too(small: Dataset, tiny_base: Path, tmp_path: Path) -> None:
    answered("encoder", small, tmp_path, ["SA"], choices=Choices(str(tiny_base), 1))
    generator = load_generator(tmp_path / "model")
    with pytest.raises(EcellmError, match="answers SA, not PM: add --tasks SA"):
        generator.prompts(small.view("IND_Diverse_Instruction", "test", ["PM"]))
    (tmp_path / "model" / "SA.json").write_text("{}")
    with pytest.raises(EcellmError, match="not those that were fitted"):
        load_generator(tmp_path / "model")


def test_a_decoder_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match="is no encoder"):
        load_encoder(str(save_tiny("t5", tmp_path / "t5")))


def test_ranknet_counts_the_pairs_of_a_list_that_differ() -> None:
    scores = torch.tensor([1.0, 0.0, 2.0, 5.0])
    graded = torch.tensor([1.0, 0.1, 0.1, 0.0])
    lists = torch.tensor([0, 0, 0, 1])
    expected = (np.log1p(np.exp(-1.0)) + np.log1p(np.exp(1.0))) / 2
    assert float(ranknet(scores, graded, lists)) == pytest.approx(expected, rel=1e-5)
    assert float(ranknet(scores, torch.zeros(4), lists)) == 0.0


def test_an_order_stands_in_for_missing_labels() -> None:
    example = made("QPR", "train", 1)
    bare = Example(**{**vars(example), "labels": None})
    best = [example.labels.index(label) for label in "ESI"]  # type: ignore[union-attr]
    assert sorted(range(3), key=lambda place: -grades(bare)[place]) == best
    for row in (example, bare):
        assert mean_ndcg([row], [best]) == pytest.approx(1.0)
        assert mean_ndcg([row], [best[::-1]]) < 0.9


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(1, 9))
def test_every_row_comes_once_a_pass(rows: list[int], size: int) -> None:
    made = batches(list(enumerate(rows)), size, lambda row: row[1], 3, 0)
    assert sorted(row for batch in made for row in batch) == list(enumerate(rows))
    assert all(1 <= len(batch) <= size for batch in made)
    assert made == batches(list(enumerate(rows)), size, lambda row: row[1], 3, 0)


@pytest.mark.slow
def test_minilm_learns_what_the_words_say(tmp_path: Path) -> None:
    rows = [
        made("SA", split, n)
        for split, count in (("train", 80), ("validation", 45), ("test", 40))
        for n in range(count)
    ]  # type: ignore[arg-type]
    data = save(tmp_path / "data", rows)
    assert scored("encoder", data, tmp_path, ["SA"])["SA"]["value"] > 0.9
