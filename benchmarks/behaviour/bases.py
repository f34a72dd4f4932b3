"""Tiny bases with random weights, and a tokenizer trained on a dataset's rows: tuned and asked in seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

WORDS = 1500
SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>"}
NUMBERS = {"vocab_size": WORDS, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
LONGEST = 1024
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST,
}
T5_SIZES = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}


class Base(NamedTuple):
    """A model, and where special tokens stand in one text and in two."""

    model: Any
    single: str
    pair: str


def write_bases(train: Path, folder: Path) -> None:
    """Write the bases `causal`, `encoder-decoder` and `encoder` below a folder."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    rows = pq.read_table(train, columns=["input", "output"]).to_pylist()
    texts = [text for row in rows for text in row.values()]
    for name, base in _bases().items():
        base.model.save_pretrained(folder / name)
        _tokenizer(texts, base.single, base.pair).save_pretrained(folder / name)


def _bases() -> dict[str, Base]:
    import torch
    from transformers import AutoModelForSeq2SeqLM, BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, T5Config

    torch.manual_seed(0)
    # Weights so large that answers differ from row to row.
    causal = LlamaForCausalLM(LlamaConfig(initializer_range=0.2, **SIZES, **NUMBERS))
    encoder_decoder = AutoModelForSeq2SeqLM.from_config(T5Config(initializer_factor=3.0, **T5_SIZES, **NUMBERS))
    encoder = BertModel(BertConfig(**SIZES, **NUMBERS), add_pooling_layer=False)
    return {
        "causal": Base(causal, "<s> $A", "<s> $A $B:1"),
        "encoder-decoder": Base(encoder_decoder, "$A </s>", "$A $B:1 </s>:1"),
        "encoder": Base(encoder, "<s> $A </s>", "<s> $A </s> $B:1 </s>:1"),
    }


def _tokenizer(texts: Sequence[str], single: str, pair: str) -> Any:
    """Train a tokenizer of bytes: any text, nothing unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    names = list(SPECIAL.values())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=names, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single, pair, special_tokens=[(name, number) for number, name in enumerate(names)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LONGEST, **SPECIAL)
