"""Loading a model of transformers, a folder's or the hub's, safetensors only."""

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel
from transformers.utils import logging

from ecellm.errors import ModelError
from ecellm.models.transformers.base_models import base_location

#: In a MODEL folder that holds an adapter.
ADAPTER = "adapter_config.json"


def adapter_base(folder: Path) -> tuple[str, str | None]:
    """Return the base that a folder's adapter is for, and its revision."""
    config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    return config["base_model_name_or_path"], config.get("revision")


def load_model(folder: Path, dtype: torch.dtype | str) -> PreTrainedModel:
    """Return the model of a MODEL folder, an adapter merged into its base.

    Raises ModelError where the adapter's base cannot be had.
    """
    is_adapter = (folder / ADAPTER).is_file()
    base, revision = adapter_base(folder) if is_adapter else (str(folder), None)
    location = base_location(base) if is_adapter else base
    try:
        model = load_pretrained(location, revision, dtype)
    except OSError as error:
        raise ModelError(
            f"{folder} is an adapter on {base!r}, which is no model's folder and cannot be had from the hub."
        ) from error
    if not is_adapter:
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder).merge_and_unload()


def load_pretrained(base: str, revision: str | None, dtype: torch.dtype | str, **more: object) -> PreTrainedModel:
    """Return the causal or encoder-decoder model; its config says truly whether head and embeddings share weights.

    Raises OSError or ValueError where there is no such model, and ModelError where a causal one takes no position ids
    (BLOOM and others with ALiBi): padded and packed rows would be read wrongly, without a warning.
    """
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(base, revision=revision)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = kind.from_pretrained(base, revision=revision, dtype=dtype, use_safetensors=True, **more)
    if not config.is_encoder_decoder and "position_ids" not in inspect.signature(model.forward).parameters:
        raise ModelError(
            f"{base} is a {config.model_type} model, which takes no position ids and can be neither tuned nor run in "
            "batches here: use it through vllm: or a server."
        )
    model.config.tie_word_embeddings = head_is_shared(model)
    return model


def inference_attention(model: PreTrainedModel) -> str:
    """Return the attention by which a causal model predicts: torch's own, or else the model's."""
    return "sdpa" if model._supports_sdpa else "eager"


@contextmanager
def attending(model: PreTrainedModel, attention: str | None) -> Iterator[None]:
    """Let a model attend by another attention within the block; None: by its own."""
    before = model.config._attn_implementation
    if attention is not None:
        model.set_attn_implementation(attention)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def head_is_shared(model: PreTrainedModel) -> bool:
    """Return whether the output head shares its weights with the embeddings. The config is no guide: T5's always
    says that it does."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and head.weight is embeddings.weight
