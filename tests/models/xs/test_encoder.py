"""XS's encoder and tokenizer in plain torch and tokenizers, against those of transformers."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertModel

from ecellm.errors import ModelError
from ecellm.models.minilm import minilm_folder
from ecellm.models.xs.encoder import masked, torch_attention
from ecellm.models.xs.model import CONFIG, WEIGHTS, XSModel, warm_start
from ecellm.models.xs.tokenizer import XSTokenizer

TOKENIZER, USUAL = XSTokenizer.load(minilm_folder()), AutoTokenizer.from_pretrained(minilm_folder())


@given(st.text(max_size=60), st.booleans())
def test_a_text_has_the_tokens_and_offsets_of_transformers(text: str, special: bool) -> None:
    ours = TOKENIZER(text, add_special_tokens=special)
    usual = USUAL(text, add_special_tokens=special, return_offsets_mapping=True)
    assert ours.input_ids == usual.input_ids and ours.offset_mapping == usual.offset_mapping
    assert TOKENIZER([text, "a mug"], add_special_tokens=special).input_ids[0] == usual.input_ids
    assert TOKENIZER.decode(ours.input_ids, skip_special_tokens=True) == USUAL.decode(
        usual.input_ids, skip_special_tokens=True
    )


def test_the_encoder_has_the_states_of_transformers_bert(tiny_base: Path) -> None:
    ids = torch.tensor([[101, 2003, 2009, 102], [101, 2010, 2011, 102]])
    usual = BertModel.from_pretrained(tiny_base, add_pooling_layer=False).eval()
    stack = warm_start(tiny_base).eval().bert
    with torch.no_grad():
        words = stack.embeddings.word_embeddings(ids)
        found = stack(words, torch.zeros_like(ids), torch.arange(4)[None], masked(torch_attention, None))
        assert torch.allclose(found, usual(ids).last_hidden_state, atol=1e-5)


def test_a_base_may_hold_its_encoder_beside_a_head(tiny_base: Path, tmp_path: Path) -> None:
    weights = {f"bert.{name}": weight for name, weight in load_file(tiny_base / WEIGHTS).items()}
    save_file({**weights, "cls.predictions.bias": torch.zeros(3)}, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_bytes((tiny_base / CONFIG).read_bytes())
    ours, plain = warm_start(tmp_path).bert.state_dict(), warm_start(tiny_base).bert.state_dict()
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("content", [None, b"{}", b"version 1"])
def test_files_that_are_missing_or_damaged_are_named(
    name: str, content: bytes | None, tiny_base: Path, tmp_path: Path
) -> None:
    warm_start(tiny_base).save(tmp_path)
    XSModel.load(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for read in (XSModel.load, warm_start):
        with pytest.raises(ModelError, match=name):
            read(tmp_path)
