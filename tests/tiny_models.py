"""Tiny random models of the architectures that recipes name, with a tokenizer trained here."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    SmolLM3Config,
    T5Config,
)

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
CONFIGS = {
    "llama": lambda size: LlamaConfig(vocab_size=size, **SIZES),
    "mistral": lambda size: MistralConfig(vocab_size=size, sliding_window=16, **SIZES),
    "phi": lambda size: PhiConfig(vocab_size=size, **SIZES),
    "qwen3": lambda size: Qwen3Config(vocab_size=size, head_dim=8, **SIZES),
    "gemma3": lambda size: Gemma3TextConfig(vocab_size=size, head_dim=8, sliding_window=16, **SIZES),
    "smollm3": lambda size: SmolLM3Config(vocab_size=size, **SIZES),
    "t5": lambda size: T5Config(
        vocab_size=size, d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4, decoder_start_token_id=0
    ),
}
#: The linear layers that the paper's LoRA adapts, by architecture.
MODULES = {
    "llama": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"),
    "mistral": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"),
    "phi": ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2", "lm_head"),
    "qwen3": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"),
    "gemma3": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "smollm3": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "t5": ("q", "k", "v", "o", "wi", "wo", "lm_head"),
}
CHAT = (
    "{% for message in messages %}<s>[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def tokenizer_for(family: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: any text, nothing unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "</s>", "<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["a blue steel mug, yes or no", "the answer is A: mug or B: pot"], trainer)
    if family == "t5":
        tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    else:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 2)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", bos_token="<s>")
    fast.chat_template = CHAT
    return fast


def save_tiny(family: str, path: Path, own_head: bool = False, seed: int = 0, **changes: Any) -> Path:
    """Write a base's folder with random weights; `changes` go into the config. T5's head may be its own."""
    tokenizer = tokenizer_for(family)
    config = CONFIGS[family](len(tokenizer))
    config.pad_token_id, config.bos_token_id, config.eos_token_id = 0, 2, 1
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(seed)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model: Any = kind.from_config(config)
    if own_head:  # as Flan-T5's
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
        model.config.tie_word_embeddings = False
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
