"""From a MODEL folder to the generator that asks it."""

from pathlib import Path

from ecellm.inference.generator import Generator
from ecellm.models.folder import read_facts


def load_generator(model: Path) -> Generator:
    """Return the generator for a finished model, on the accelerator where there is one.

    Raises ValueError where the folder is no finished model or its family is not known.
    """
    family = read_facts(model)["recipe"]["family"]
    if family == "prefix":
        from ecellm.inference.prefix import PrefixGenerator

        return PrefixGenerator(model, _device())
    if family in ("causal", "encoder-decoder"):
        from ecellm.inference.transformers_ import TransformersGenerator

        return TransformersGenerator(model, _device())
    if family == "baseline":
        from ecellm.baselines.generator import BaselineGenerator

        return BaselineGenerator(model, _device())
    raise ValueError(f"{model} is of the family {family!r}, which this version cannot ask.")


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
