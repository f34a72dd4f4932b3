"""A MODEL folder: weights, tokenizer, and `ecellm.json` with all else that prediction needs.

`ecellm.json` is written last: a folder without it is an unfinished run.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from ecellm.files import whole_file

FACTS = "ecellm.json"


def is_finished(model: Path) -> bool:
    """Say whether the folder holds a finished model."""
    return (model / FACTS).is_file()


def read_facts(model: Path) -> dict[str, Any]:
    """Return `ecellm.json`; raises ValueError with one sentence where the folder is not a finished model."""
    if not is_finished(model):
        raise ValueError(f"{model} is not a finished model: it has no {FACTS}. Make one with `ecellm tune`.")
    try:
        facts = json.loads((model / FACTS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{model / FACTS} is not valid JSON: tune the model again.") from error
    return dict(facts)


def write_facts(model: Path, facts: dict[str, Any]) -> None:
    """Write `ecellm.json`, which marks the model as finished."""
    with whole_file(model / FACTS) as path:
        path.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def model_hash(model: Path, facts: str = FACTS) -> str:
    """Return a sha256 over the facts (a base's: its config.json) and the weights: what its answers depend on."""
    digest = hashlib.sha256((model / facts).read_bytes())
    for weights in sorted(model.glob("*.safetensors")):
        with weights.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
