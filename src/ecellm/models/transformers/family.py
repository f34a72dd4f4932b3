"""Causal and encoder-decoder models as families; what is imported here is imported whenever any model is loaded."""

from pathlib import Path

from ecellm.models.base import Decoding, Family, Generator, Tuning
from ecellm.models.precision import FP32


def _load(folder: Path, device: str, decoding: Decoding) -> Generator:
    from ecellm.models.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_folder(folder, device, decoding)


def _tuning() -> Tuning:
    from ecellm.models.transformers import tuning

    return tuning


def _refusal(model: str, decoding: Decoding) -> str | None:
    if decoding.precision != FP32:
        return "--precision is for XS and causal models; this one is an encoder-decoder: omit it."
    return None


CAUSAL = Family(name="causal", load=_load, tuning=_tuning, runs_in_vllm=True)
ENCODER_DECODER = Family(
    name="encoder-decoder",
    load=_load,
    refusal=_refusal,
    tuning=_tuning,
    foreign_keys={
        "optimisation.freeze_layers": "causal models",
        "optimisation.bf16_weights": "causal models",
        "optimisation.freeze_embeddings": "XS and causal models",
    },
)
