"""The description of a base that was not tuned, so that it is loaded as tuned models are."""

from pathlib import Path

from transformers import AutoConfig, AutoTokenizer

from ecellm.errors import ModelError
from ecellm.models.base import Decoding
from ecellm.models.folder import ModelInfo, RecipeInfo
from ecellm.models.transformers.family import CAUSAL, ENCODER_DECODER
from ecellm.prompts import CHAT, template_for

#: Prompt tokens at most; the paper's limit.
MAX_TOKENS = 2048


def base_info(base: Path, template: str | None) -> ModelInfo:
    """Return what `ecellm.json` would hold if the base were tuned; raises ModelError where it is no model."""
    try:
        config = AutoConfig.from_pretrained(base)
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{base} is no model that transformers reads: {str(error).splitlines()[0]}") from error
    window = getattr(config, "max_position_embeddings", None) or MAX_TOKENS
    family = ENCODER_DECODER if config.is_encoder_decoder else CAUSAL
    return ModelInfo(
        recipe=RecipeInfo(family=family.name, max_tokens=min(MAX_TOKENS, window - Decoding().max_new_tokens)),
        template=template_for(template or CHAT, tokenizer),
        offsets={},
    )
