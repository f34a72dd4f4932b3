"""ecellm: build e-commerce instruction data, tune a language model on it, ask it, score it.

What stands in `__all__` is public. It is loaded when it is first used, so that `import ecellm` costs no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecellm.api import build_dataset, evaluate, load_dataset, load_model, predict, tune
    from ecellm.data.dataset import Dataset
    from ecellm.errors import ConfigError, DataError, EcellmError, ModelError, ServerError
    from ecellm.inference.client import AsyncClient, Client
    from ecellm.inference.model import Model
    from ecellm.inference.row_questions import Answer
    from ecellm.models.base import Decoding
    from ecellm.models.remote.client import Server
    from ecellm.types import Example, Prediction, Question

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "ConfigError",
    "DataError",
    "Dataset",
    "Decoding",
    "EcellmError",
    "Example",
    "Model",
    "ModelError",
    "Prediction",
    "Question",
    "Server",
    "ServerError",
    "build_dataset",
    "evaluate",
    "load_dataset",
    "load_model",
    "predict",
    "tune",
]

_MODULES = {
    "ecellm.api": ("build_dataset", "evaluate", "load_dataset", "load_model", "predict", "tune"),
    "ecellm.data.dataset": ("Dataset",),
    "ecellm.errors": ("ConfigError", "DataError", "EcellmError", "ModelError", "ServerError"),
    "ecellm.inference.client": ("AsyncClient", "Client"),
    "ecellm.inference.model": ("Model",),
    "ecellm.inference.row_questions": ("Answer",),
    "ecellm.models.base": ("Decoding",),
    "ecellm.models.remote.client": ("Server",),
    "ecellm.types": ("Example", "Prediction", "Question"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ecellm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
