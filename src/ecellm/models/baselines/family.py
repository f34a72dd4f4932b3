"""Baselines as a family of models; what is imported here is imported whenever any model is loaded."""

from pathlib import Path

from ecellm.models.base import Decoding, Family, Generator
from ecellm.models.precision import FP32


def _load(folder: Path, device: str, decoding: Decoding) -> Generator:
    from ecellm.models.baselines.generator import BaselineGenerator

    return BaselineGenerator(folder, device)


def _refusal(model: str, decoding: Decoding) -> str | None:
    if decoding.free or decoding.temperature:
        return f"{model} generates no text: omit --decoding free and --temperature."
    if decoding.max_new_tokens != Decoding.max_new_tokens:
        return f"{model} generates no text: omit --max-new-tokens."
    if decoding.precision != FP32:
        return f"{model} is a baseline, which predicts in fp32: omit --precision."
    return None


#: Fitted by `ecellm baseline`, not by a recipe.
BASELINE = Family(name="baseline", load=_load, refusal=_refusal)
