"""Merging an adapter into its base, checked: the merged model says what base and adapter said together."""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from ecellm.files import refuse_existing, whole_folder
from ecellm.models.bases import base_location
from ecellm.models.folder import FACTS, read_facts, write_facts
from ecellm.models.gguf_writing import Precision, write_gguf
from ecellm.models.loading import ADAPTER, adapter_base, load_pretrained

#: What is read to compare logits.
PROBE = "Is the blue steel mug the same product as the steel mug in blue? Answer yes or no."
#: Of the largest logit: what merging may change, by the precision of the weights.
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def merge(model: Path, out: Path) -> float:
    """Write the whole model to `out`; returns the largest difference of logits, as a share of the largest logit.

    Raises ValueError where the folder is no adapter, its base cannot be had, `out` exists, or the logits differ by
    more than rounding.
    """
    facts = read_facts(model)
    if not (model / ADAPTER).is_file():
        raise ValueError(f"{model} is no adapter: its weights are whole already.")
    base, revision = adapter_base(model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    merged, apart = _merged(model, tokenizer)
    with whole_folder(out) as folder:
        merged.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for name in ("log.jsonl", "run.json"):
            if (model / name).is_file():
                shutil.copyfile(model / name, folder / name)
        write_facts(folder, {**facts, "merged_from": {"base": base, "revision": revision}})
        assert (folder / FACTS).is_file()
    return apart


def export_gguf(model: Path, out: Path, precision: Precision) -> None:
    """Write a causal model, an adapter merged into its base, as a GGUF file with a Modelfile to the folder `out`.

    Raises ValueError as `merge` and `write_gguf`.
    """
    facts = read_facts(model)
    if facts["recipe"]["family"] != "causal":
        raise ValueError(f"{model} is of the family {facts['recipe']['family']!r}: GGUF is written of causal models.")
    refuse_existing(out)
    tokenizer = AutoTokenizer.from_pretrained(model)
    is_adapter = (model / ADAPTER).is_file()
    whole = _merged(model, tokenizer)[0] if is_adapter else load_pretrained(str(model), None, "auto")
    with whole_folder(out) as folder:
        write_gguf(whole, tokenizer, facts, folder, precision)


def _merged(model: Path, tokenizer: Any) -> tuple[Any, float]:
    """Return an adapter and its base as one model, and by how much its logits differ from theirs."""
    from peft import PeftModel

    base, revision = adapter_base(model)
    location = base_location(base)
    try:
        loaded = load_pretrained(location, revision, "auto")
    except OSError as error:
        raise ValueError(f"{model} is an adapter on {base!r}, which cannot be had from the hub.") from error
    adapted: Any = PeftModel.from_pretrained(loaded, model).eval()
    before = _logits(adapted, tokenizer)
    merged = adapted.merge_and_unload()
    apart = float((_logits(merged, tokenizer) - before).abs().max() / before.abs().max())
    if not apart <= CLOSE.get(merged.dtype, CLOSE[torch.float32]):
        raise ValueError(
            f"The merged model says something else than {model} (logits differ by {apart:.1%}): not written."
        )
    return merged, apart


@torch.inference_mode()
def _logits(model: Any, tokenizer: Any) -> torch.Tensor:
    ids = tokenizer(PROBE, return_tensors="pt").input_ids
    if model.config.is_encoder_decoder:
        return model(input_ids=ids, decoder_input_ids=ids[:, :8]).logits.float()
    return model(input_ids=ids).logits.float()
