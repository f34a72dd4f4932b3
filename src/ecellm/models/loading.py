"""Loading a model of transformers, a folder's or the hub's, safetensors only."""

import inspect
import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel
from transformers.utils import logging

from ecellm.models.bases import base_location

#: In a MODEL folder that holds an adapter.
ADAPTER = "adapter_config.json"


def adapter_base(folder: Path) -> tuple[str, str | None]:
    """Return the base that a folder's adapter is for, and its revision."""
    told = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    return told["base_model_name_or_path"], told.get("revision")


def load_model(folder: Path, dtype: Any) -> Any:
    """Return the model of a MODEL folder, an adapter merged into its base.

    Raises ValueError where the adapter's base cannot be had.
    """
    is_adapter = (folder / ADAPTER).is_file()
    base, revision = adapter_base(folder) if is_adapter else (str(folder), None)
    location = base_location(base) if is_adapter else base
    try:
        model = load_pretrained(location, revision, dtype)
    except OSError as error:
        raise ValueError(
            f"{folder} is an adapter on {base!r}, which is no model's folder and cannot be had from the hub."
        ) from error
    if not is_adapter:
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder).merge_and_unload()


def load_pretrained(base: str, revision: str | None, dtype: Any, **more: Any) -> Any:
    """Return the causal or encoder-decoder model; its config says truly whether head and embeddings share weights.

    Raises OSError or ValueError where there is no such model, and ValueError where a causal one is told no positions
    (BLOOM and others with ALiBi count places): padded and packed rows would be read wrongly, without a word.
    """
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(base, revision=revision)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model: Any = kind.from_pretrained(base, revision=revision, dtype=dtype, use_safetensors=True, **more)
    if not config.is_encoder_decoder and "position_ids" not in inspect.signature(model.forward).parameters:
        raise ValueError(
            f"{base} is a {config.model_type} model, which takes no positions and can be neither tuned nor asked in "
            "batches here: ask it through vllm: or a server."
        )
    model.config.tie_word_embeddings = head_is_shared(model)
    return model


def asking_attention(model: PreTrainedModel) -> str:
    """Return the attention by which a causal model predicts: torch's own, or where it has not that, the model's."""
    return "sdpa" if model._supports_sdpa else "eager"


def head_is_shared(model: PreTrainedModel) -> bool:
    """Say whether the output head's weights are the embeddings' own. The config does not tell: T5's always says
    that they are."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and head.weight is embeddings.weight
