"""Loading a model of transformers, a folder's or the hub's, safetensors only."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)
from transformers.utils import logging

from ecellm.errors import ModelError
from ecellm.models.model_files import check_weights, readable_weights
from ecellm.models.transformers.base_models import ADAPTER, adapter_base, base_location, check_base

if TYPE_CHECKING:
    from peft import PeftModel


def load_model(folder: Path, dtype: torch.dtype | str) -> PreTrainedModel:
    """Return the model of a MODEL folder, an adapter merged into its base.

    Raises ModelError where it cannot be loaded, or its base is not the one that the adapter was tuned on.
    """
    if (folder / ADAPTER).is_file():
        return load_adapted(folder, dtype).merge_and_unload()
    return load_whole(folder, dtype)


def load_whole(folder: Path, dtype: torch.dtype | str) -> PreTrainedModel:
    """Return the model of a folder with all weights; raises ModelError where there is none."""
    try:
        return load_pretrained(str(folder), None, dtype)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} is no model that transformers reads: {_first_line(error)}") from error


def load_adapted(folder: Path, dtype: torch.dtype | str) -> "PeftModel":
    """Return an adapter on its base; raises ModelError as `load_model`."""
    from peft import PeftModel

    check_weights(folder)
    check_base(folder)
    base, revision = adapter_base(folder)
    try:
        model = load_pretrained(base_location(base), revision, dtype)
    except (OSError, ValueError) as error:
        why = _first_line(error) if Path(base).is_dir() else "it is no model's folder and cannot be had from the hub."
        raise ModelError(f"{folder} is an adapter on {base!r}, which cannot be loaded: {why}") from error
    try:
        return PeftModel.from_pretrained(model, folder)
    except (RuntimeError, ValueError) as error:
        if isinstance(error, RuntimeError) and "size mismatch" not in str(error):
            raise
        raise ModelError(f"The adapter {folder} does not fit its base {base!r}: {_first_line(error)}") from error


def load_pretrained(base: str, revision: str | None, dtype: torch.dtype | str, **more: object) -> PreTrainedModel:
    """Return the causal or encoder-decoder model; its config says truly whether head and embeddings share weights.

    Raises OSError or ValueError where there is no such model, and ModelError where weights are damaged or of another
    model, and where a causal one takes no position ids (BLOOM and others with ALiBi): padded and packed rows would be
    read wrongly, without a warning.
    """
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(base, revision=revision)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with readable_weights(base):
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
