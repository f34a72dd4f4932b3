"""The families of models: by the name of its family a recipe is tuned and a folder is loaded.

To add one, write a folder with a `family.py` and name it here.
"""

from ecellm.errors import ModelError
from ecellm.models.base import Family, Tuning
from ecellm.models.baselines.family import BASELINE
from ecellm.models.remote.engines import HTTP, HTTPS, OPENAI, VLLM
from ecellm.models.transformers.family import CAUSAL, ENCODER_DECODER
from ecellm.models.xs.family import XS

FAMILIES = {family.name: family for family in (XS, CAUSAL, ENCODER_DECODER, BASELINE)}
#: What may stand before a model's name.
ENGINES = (OPENAI, VLLM, HTTP, HTTPS)


def find_family(name: str) -> Family:
    """Return the family of a name; raises ModelError where there is none."""
    if name not in FAMILIES:
        raise ModelError(f"There is no family {name!r}: this version knows {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def tuning_of(name: str) -> Tuning:
    """Return how a family is tuned by a recipe; raises ModelError where there is none, or it is fitted otherwise."""
    family = find_family(name)
    if family.tuning is None:
        raise ModelError(f"Models of the family {name!r} are not tuned by a recipe.")
    return family.tuning()


def tuned_families() -> list[str]:
    """Return the names that a recipe may give as its family."""
    return [family.name for family in FAMILIES.values() if family.tuning is not None]
