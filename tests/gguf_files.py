"""Tiny GGUF files, written through the gguf package as llama.cpp's converter writes a Llama model."""

import json
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_tiny_gguf(
    base: Path, file: Path, kind: str = "F32", splitting: str = "gpt-2", without: str = "", **more: str
) -> Path:
    """Write the Llama model of a folder as a GGUF file: matrices of a kind, text split in a way that llama.cpp
    names, `without` a tensor, with `more` keys whose dots are written as two underscores."""
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    config = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    for key, value in more.items():
        writer.add_string(key.replace("__", "."), value)
    _add_tokenizer(writer, tokenizer, splitting)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if "q_proj" in name or "k_proj" in name:
            weight = _neighbours(weight, config.hidden_size // config.num_attention_heads)
        wanted = gguf.GGMLQuantizationType[kind if weight.ndim > 1 else "F32"]
        if _name(name) != without:
            writer.add_tensor(_name(name), gguf.quantize(weight.numpy(), wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _name(name: str) -> str:
    stem = name.removesuffix(".weight")
    layer = stem.removeprefix("model.layers.").split(".", 1)
    return f"{NAMES[stem] if stem in NAMES else f'blk.{layer[0]}.{NAMES[layer[1]]}'}.weight"


def _neighbours(weight: torch.Tensor, size: int) -> torch.Tensor:
    """The two numbers of a head that are rotated together come one after the other, not half a head apart."""
    order = [
        head + place + half
        for head in range(0, len(weight), size)
        for place in range(size // 2)
        for half in (0, size // 2)
    ]
    return weight[order].contiguous()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, splitting: str) -> None:
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["id"] for token in told["added_tokens"]}
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(words)
    writer.add_token_types([3 if place in special else 1 for place in range(len(words))])
    writer.add_token_merges([" ".join(merge) for merge in told["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(True)
    writer.add_chat_template(tokenizer.chat_template)
