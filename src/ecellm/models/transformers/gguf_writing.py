"""A tuned model as a GGUF file for llama.cpp and what is built on it, with an Ollama Modelfile beside it.

Llama and Mistral models with byte-level tokenizers; names and layout of the file as llama.cpp's own converter has
them (convert_hf_to_gguf.py). The prompt's layout goes along as a chat template of one user message, so that the model
is prompted as it was tuned: a message is instruction, input and options as the layout joins them.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from ecellm.errors import ModelError
from ecellm.models.folder import ModelInfo, RecipeInfo
from ecellm.models.transformers.gguf_reading import INSTALL
from ecellm.models.transformers.pretrained import head_is_shared
from ecellm.prompts import Template, end_token

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

Precision = Literal["f32", "f16", "bf16", "q8_0"]
MODEL, MODELFILE = "model.gguf", "Modelfile"
ARCHITECTURES = ("llama", "mistral")
#: Kinds of tokens, as llama.cpp numbers them.
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
#: How Digits and ByteLevel split text, by llama.cpp's name.
GPT2, DIGITS_APART = "gpt-2", "smollm"
OTHERWISE = "convert the merged model with llama.cpp's convert_hf_to_gguf.py."
#: What a layout fills in.
PLACE = re.compile(r"\{(?:instruction|input|options)\}")


def write_gguf(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, info: ModelInfo, folder: Path, precision: Precision
) -> None:
    """Write `model.gguf` and `Modelfile` to a folder; `info` is what ecellm.json holds.

    Matrices are written in `precision`, vectors in fp32.

    Raises ModelError where gguf is not installed, or llama.cpp would read model, tokenizer or layout otherwise.
    """
    try:
        import gguf
    except ImportError as error:
        raise ModelError(INSTALL) from error
    assert info.template is not None
    template = info.template
    before, after = around_message(template)
    _refuse_other_models(model.config)
    writer = gguf.GGUFWriter(folder / MODEL, "llama")
    writer.add_name(info.recipe.name)
    writer.add_file_type(
        {
            "f32": gguf.LlamaFileType.ALL_F32,
            "f16": gguf.LlamaFileType.MOSTLY_F16,
            "bf16": gguf.LlamaFileType.MOSTLY_BF16,
            "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
        }[precision]
    )
    _add_shape(writer, model.config)
    _add_tokenizer(writer, tokenizer, model.config.vocab_size, template)
    end = str(tokenizer.convert_ids_to_tokens(end_token(tokenizer)))
    writer.add_chat_template(chat_form(before, after, end))
    _add_tensors(writer, model, gguf.GGMLQuantizationType[precision.upper()])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (folder / MODELFILE).write_text(modelfile(before, after, end, info.recipe), encoding="utf-8")


def around_message(template: Template) -> tuple[str, str]:
    """Return the text of a layout before and after the user's message.

    Raises ModelError where this differs between prompts with and without options.
    """
    forms = [PLACE.split(form) for form in (template.prompt_input, template.prompt_no_options)]
    before, after = {parts[0] for parts in forms}, {parts[-1] for parts in forms}
    if len(before) > 1 or len(after) > 1:
        raise ModelError(
            "The model's layout begins or ends otherwise with options than without: GGUF has one for both."
        )
    return before.pop(), after.pop()


def chat_form(before: str, after: str, end: str) -> str:
    """Return a Jinja chat template that lays out user messages so, and ends answers with the end token."""
    begins, ends, done = (json.dumps(text, ensure_ascii=False) for text in (before, after, end))
    user = "{%- if message['role'] == 'user' -%}{{ " + f"{begins} + message['content'] + {ends}" + " }}"
    answered = "{%- elif message['role'] == 'assistant' -%}{{ message['content'] + " + done + " }}{%- endif -%}"
    return "{%- for message in messages -%}" + user + answered + "{%- endfor -%}"


def modelfile(before: str, after: str, end: str, recipe: RecipeInfo) -> str:
    """Return an Ollama Modelfile; raises ModelError where the layout has what its form cannot hold."""
    layout = f"{before}{{{{ .Prompt }}}}{after}"
    if '"""' in layout or "{{" in before + after:
        raise ModelError("The model's layout has three quotation marks or two braces, which a Modelfile cannot hold.")
    context = recipe.max_tokens + recipe.max_response_tokens
    return f'''# {recipe.name}, tuned by ecellm. In this folder: ollama create {recipe.name} -f {MODELFILE}
# A message is a task's instruction, the input and its options, as the model's layout joins them.
FROM ./{MODEL}
TEMPLATE """{layout}"""
PARAMETER stop "{end}"
PARAMETER temperature 0
PARAMETER num_ctx {context}
PARAMETER num_predict {recipe.max_response_tokens}
'''


def _refuse_other_models(config: PreTrainedConfig) -> None:
    """Raise ModelError for a model that llama.cpp's llama architecture does not compute."""
    kind = config.model_type
    if kind not in ARCHITECTURES:
        raise ModelError(f"GGUF is written of {' and '.join(ARCHITECTURES)} models, not of {kind}: {OTHERWISE}")
    rotary = config.rope_parameters["rope_type"]
    if getattr(config, "sliding_window", None) or rotary not in ("default", "llama3") or config.hidden_act != "silu":
        raise ModelError(
            "GGUF is not written of a model with a sliding window, scaled rotary positions other than Llama 3's, or "
            "an activation other than SiLU."
        )


def _add_shape(writer: "GGUFWriter", config: PreTrainedConfig) -> None:
    size = config.head_dim or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: "GGUFWriter", tokenizer: PreTrainedTokenizerBase, size: int, template: Template) -> None:
    """Add a byte-level tokenizer; tokens that the model has beyond it are marked as unused."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(spec))
    added = {token["id"]: token for token in spec["added_tokens"]}
    texts = {place: text for text, place in tokenizer.get_vocab().items()}
    kinds = [
        UNUSED
        if place not in texts
        else NORMAL
        if place not in added
        else CONTROL
        if added[place]["special"]
        else USER_DEFINED
        for place in range(size)
    ]
    writer.add_token_list([texts.get(place, f"[PAD{place}]") for place in range(size)])
    writer.add_token_types(kinds)
    merges = spec["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for name in ("bos", "pad", "unk"):
        place = getattr(tokenizer, f"{name}_token_id")
        if place is not None:
            getattr(writer, f"add_{name}_token_id")(place)
    writer.add_eos_token_id(end_token(tokenizer))
    # A chat template has the beginning in its text.
    begins = tokenizer("").input_ids if template.special_tokens else []
    if begins not in ([], [tokenizer.bos_token_id]):
        raise ModelError(f"The tokenizer adds {tokenizer.decode(begins)!r} to every text, which GGUF cannot express.")
    writer.add_add_bos_token(bool(begins))
    writer.add_add_space_prefix(False)


def _splitting(spec: Mapping[str, Any]) -> str:
    """Return llama.cpp's name for how a tokenizer (of tokenizer.json) splits text before it merges bytes.

    Raises ModelError where it is no byte-level one, or splits otherwise than is known here.
    """
    splits = spec["pre_tokenizer"] or {}
    parts = splits.get("pretokenizers", [splits])
    kinds = [part.get("type") for part in parts]
    bytes_ = parts[-1] if kinds and kinds[-1] == "ByteLevel" else None
    if spec["model"]["type"] == "BPE" and spec["normalizer"] is None and bytes_ and not bytes_["add_prefix_space"]:
        if kinds == ["ByteLevel"] and bytes_["use_regex"]:
            return GPT2
        if kinds == ["Digits", "ByteLevel"] and parts[0]["individual_digits"] and bytes_["use_regex"]:
            return DIGITS_APART
        if kinds == ["Split", "ByteLevel"] and parts[0]["behavior"] == "Isolated" and not bytes_["use_regex"]:
            pattern = parts[0]["pattern"].get("Regex")
            named = [name for name, known in GGUF_PRE_TOKENIZER_SPLITS.items() if known == pattern]
            if named:
                return str(named[0])
    raise ModelError(
        "The model's tokenizer is not a byte-level one that splits text as GPT-2's, SmolLM's or Llama 3's does: "
        f"{OTHERWISE}"
    )


def _add_tensors(writer: "GGUFWriter", model: PreTrainedModel, kind: "GGMLQuantizationType") -> None:
    """Add the weights: matrices of the given kind, vectors in fp32."""
    import gguf

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        if name.startswith("lm_head") and head_is_shared(model):
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert known is not None, name
        weight = weight.float()
        if ".q_proj." in name:
            weight = _interleaved(weight, config.num_attention_heads)
        elif ".k_proj." in name:
            weight = _interleaved(weight, config.num_key_value_heads)
        wanted = kind if weight.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(known, gguf.quantize(weight.numpy(), wanted), raw_dtype=wanted)
    if config.rope_parameters["rope_type"] == "llama3":
        rotary = model.get_decoder().rotary_emb
        size = 2 * len(rotary.inv_freq)
        plain = config.rope_parameters["rope_theta"] ** -(torch.arange(0, size, 2) / size)
        writer.add_tensor("rope_freqs.weight", (plain / rotary.inv_freq).float().numpy())


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Reorder the rows of queries or keys: llama.cpp rotates neighbouring pairs, transformers a head's halves."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape).contiguous()
