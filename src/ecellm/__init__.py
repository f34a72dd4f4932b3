"""ecellm: build e-commerce instruction data, tune a language model on it, ask it, score it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ecellm.inference.model import Model

__version__ = "0.1.0"


def load(folder: str | Path) -> Model:
    """Return the model of a MODEL folder, to be asked (`ecellm.inference.model`).

    Raises ValueError where the folder is no finished model.
    """
    from ecellm.inference.model import load_model

    return load_model(folder)
