"""From a base as a recipe names it to what transformers loads: GGUF files are converted first, once."""

from pathlib import Path

from ecellm.models.transformers.gguf_reading import converted
from ecellm.models.transformers.smollm2 import NAME as SMOLLM2
from ecellm.models.transformers.smollm2 import smollm2_file

GGUF = ".gguf"


def is_gguf(base: str) -> bool:
    """Return whether a base is a GGUF file, or a model that a package brings as one."""
    return base == SMOLLM2 or base.endswith(GGUF)


def base_location(base: str) -> str:
    """Return the folder or the name at the hub from which transformers loads a base.

    Raises ModelError as `converted`, and where `smollm2-135m` is not installed.
    """
    if not is_gguf(base):
        return base
    return str(converted(smollm2_file() if base == SMOLLM2 else Path(base)))
