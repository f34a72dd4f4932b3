"""LoRA on a base model: every module that a recipe names must be there, the base head is never saved."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from peft import LoraConfig, PeftModel, TaskType, get_peft_model, prepare_model_for_kbit_training
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from ecellm.errors import ModelError
from ecellm.models.transformers.pretrained import head_is_shared

if TYPE_CHECKING:
    from ecellm.training.recipe import Lora


#: The output head.
HEAD = "lm_head"
#: How peft saves an adapter without the base's head or embeddings.
WITHOUT_HEAD = {"save_embedding_layers": False}


def adapted(model: PreTrainedModel, lora: Lora, encoder_decoder: bool) -> PeftModel:
    """Return the model with adapters as the recipe has them (Hu et al. 2021, LoRA), no bias.

    Raises ModelError where a named module is not there (PEFT itself passes over names that match nothing as long as
    one matches), and where the output head is to be adapted and shares its weights with the embeddings.
    """
    check_modules(model, lora.modules)
    if HEAD in lora.modules and head_is_shared(model):
        raise ModelError(f"lora.modules names {HEAD}, whose weights are the embeddings' in this base: omit it.")
    if lora.quantised:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.modules),
        bias="none",
        task_type=TaskType.SEQ_2_SEQ_LM if encoder_decoder else TaskType.CAUSAL_LM,
    )
    return get_peft_model(model, config)


def check_modules(model: nn.Module, names: Sequence[str]) -> None:
    """Raise ModelError for names that no linear layer of the model has, with those it has."""
    known = linear_names(model)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ModelError(
                f"lora.modules names {name!r}, which the base has not; it has {', '.join(sorted(known))}.{hint}"
            )


def linear_names(model: nn.Module) -> set[str]:
    """Return the last parts of the linear layers' names."""
    return {name.split(".")[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def four_bits() -> BitsAndBytesConfig:
    """Return how QLoRA loads a base (Dettmers et al. 2023): NF4, doubly quantised, computing in bf16.

    Raises ModelError with the install line where bitsandbytes is not there.
    """
    try:
        import bitsandbytes  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        raise ModelError("QLoRA needs bitsandbytes: pip install 'ecellm[qlora]'.") from error
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype="bfloat16",
    )
