"""XS as a family of models: what is imported here is imported whenever any model is loaded."""

from pathlib import Path

from ecellm.models.base import Decoding, Family, Generator, Tuning


def _load(folder: Path, device: str, decoding: Decoding) -> Generator:
    from ecellm.models.xs.generator import XSGenerator

    return XSGenerator.from_folder(folder, device, decoding)


def _tuning() -> Tuning:
    from ecellm.models.xs import tuning

    return tuning


def _refusal(model: str, decoding: Decoding) -> str | None:
    if decoding.free or decoding.temperature:
        return "XS scores candidates and decodes greedily: omit free decoding and temperature."
    return None


XS = Family(
    name="xs",
    load=_load,
    refusal=_refusal,
    tuning=_tuning,
    foreign_keys={
        "optimisation.freeze_layers": "causal models",
        "optimisation.bf16_weights": "causal models",
        "mixing.loss_by": "causal and encoder-decoder models",
    },
    one_process=True,
    library="ecellm",
)
