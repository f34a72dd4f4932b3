"""Merging an adapter into its base, checked: the merged model has the logits of base and adapter together."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ecellm.errors import ModelError
from ecellm.io.files import atomic_folder, refuse_existing, set_default_mode
from ecellm.models.folder import INFO, MergedFrom, ModelInfo, read_info, write_info
from ecellm.models.model_files import read_tokenizer
from ecellm.models.transformers.base_models import ADAPTER, adapter_base
from ecellm.models.transformers.family import CAUSAL
from ecellm.models.transformers.gguf_writing import Precision, write_gguf
from ecellm.models.transformers.pretrained import load_adapted, load_whole

#: The prompt on which logits are compared.
PROBE = "Is the blue steel mug the same product as the steel mug in blue? Answer yes or no."
#: Of the largest logit: what merging may change, by the precision of the weights.
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


Answers = TypeVar("Answers")
#: Called with a model in memory, its tokenizer and its description; returns answers to compare.
Ask = Callable[[PreTrainedModel, PreTrainedTokenizerBase, ModelInfo], Answers]


@dataclass(frozen=True)
class Merged(Generic[Answers]):
    """How far a merged model is from base and adapter."""

    apart: float
    """The largest difference of logits, as a share of the largest logit."""
    before: Answers
    """Of base and adapter."""
    after: Answers


def merge(model: Path, out: Path, ask: Ask[Answers]) -> Merged[Answers]:
    """Write the whole model to `out` and ask it the questions that base and adapter answered before.

    Both answer in the precision of the base's weights, which is the merged model's too.

    Raises ModelError where the folder is no adapter, its base cannot be had, `out` exists, or the logits differ by
    more than rounding.
    """
    info = read_info(model)
    if not (model / ADAPTER).is_file():
        raise ModelError(f"{model} is no adapter: its weights are whole already.")
    base, revision = adapter_base(model)
    origin = MergedFrom(base=base, revision=revision)
    tokenizer = read_tokenizer(model)
    merged, apart, answers = _merged(model, tokenizer, lambda adapted: ask(adapted, tokenizer, info))
    with atomic_folder(out) as folder:
        merged.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        set_default_mode(folder.glob("*.safetensors"))
        for name in ("log.jsonl", "run.json"):
            if (model / name).is_file():
                shutil.copyfile(model / name, folder / name)
        write_info(folder, info.model_copy(update={"merged_from": origin, "base_hash": None}))
        assert (folder / INFO).is_file()
    return Merged(apart, answers, ask(merged, tokenizer, info))


def export_gguf(model: Path, out: Path, precision: Precision) -> None:
    """Write a causal model, an adapter merged into its base, as a GGUF file with a Modelfile to the folder `out`.

    Raises ModelError as `merge` and `write_gguf`.
    """
    info = read_info(model)
    if info.recipe.family != CAUSAL.name:
        raise ModelError(f"{model} is of the family {info.recipe.family!r}: GGUF is written of causal models.")
    refuse_existing(out)
    tokenizer = read_tokenizer(model)
    if (model / ADAPTER).is_file():
        whole, _, _ = _merged(model, tokenizer, lambda adapted: None)
    else:
        whole = load_whole(model, "auto")
    with atomic_folder(out) as folder:
        write_gguf(whole, tokenizer, info, folder, precision)


def _merged(
    model: Path, tokenizer: PreTrainedTokenizerBase, ask: Callable[[PreTrainedModel], Answers]
) -> tuple[PreTrainedModel, float, Answers]:
    """Return an adapter and its base as one model, by how much its logits differ from theirs, and what `ask` got of
    the two before they were merged."""
    adapted = load_adapted(model, "auto").eval()
    before, answers = _logits(adapted, tokenizer), ask(cast(PreTrainedModel, adapted.get_base_model()))
    merged = adapted.merge_and_unload()
    apart = float((_logits(merged, tokenizer) - before).abs().max() / before.abs().max())
    if not apart <= CLOSE.get(merged.dtype, CLOSE[torch.float32]):
        raise ModelError(f"The merged model differs from {model} (logits by {apart:.1%}): it was not written.")
    return merged, apart, answers


@torch.inference_mode()
def _logits(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    ids = tokenizer(PROBE, return_tensors="pt").input_ids
    if model.config.is_encoder_decoder:
        return model(input_ids=ids, decoder_input_ids=ids[:, :8]).logits.float()
    return model(input_ids=ids).logits.float()
