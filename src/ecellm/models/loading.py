"""Loading a model of transformers, a folder's or the hub's, safetensors only."""

from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel
from transformers.utils import logging


def load_pretrained(base: str, revision: str | None, dtype: Any, **more: Any) -> Any:
    """Return the causal or encoder-decoder model; its config says truly whether head and embeddings share weights.

    Raises OSError or ValueError where there is no such model.
    """
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(base, revision=revision)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model: Any = kind.from_pretrained(base, revision=revision, dtype=dtype, use_safetensors=True, **more)
    model.config.tie_word_embeddings = head_is_shared(model)
    return model


def head_is_shared(model: PreTrainedModel) -> bool:
    """Say whether the output head's weights are the embeddings' own. The config does not tell: T5's always says
    that they are."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and head.weight is embeddings.weight
