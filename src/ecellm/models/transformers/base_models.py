"""Bases as recipes and adapters name them: where transformers loads them from, and what identifies them.

GGUF files are converted first, once.
"""

import json
from pathlib import Path

from ecellm.errors import ModelError
from ecellm.io.hashing import file_hash
from ecellm.models.folder import model_hash, read_info
from ecellm.models.model_files import check_weights
from ecellm.models.transformers.gguf_reading import converted
from ecellm.models.transformers.smollm2 import NAME as SMOLLM2
from ecellm.models.transformers.smollm2 import smollm2_file

GGUF = ".gguf"
#: In a MODEL folder that holds an adapter.
ADAPTER = "adapter_config.json"
CONFIG = "config.json"


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


def pinned_revision(base: str, revision: str | None) -> str | None:
    """Return the commit that a base at the hub has now; None for one that is a folder or a file.

    Raises ModelError where it cannot be had.
    """
    if is_gguf(base) or Path(base).is_dir():
        return None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        # It lies in the cache, in a folder named by the commit.
        return Path(hf_hub_download(base, CONFIG, revision=revision)).parent.name
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise ModelError(f"The base {base!r} is no model's folder and cannot be had from the hub.") from error


def base_hash(base: str, revision: str | None) -> str:
    """Return what identifies a base: the hash of its weights, or its name and commit at the hub.

    Raises ModelError where it cannot be had.
    """
    if is_gguf(base):
        file = smollm2_file() if base == SMOLLM2 else Path(base)
        if not file.is_file():
            raise ModelError(f"There is no file {file}.")
        return file_hash(file)
    if not Path(base).is_dir():
        return f"{base}@{pinned_revision(base, revision)}"
    check_weights(Path(base))
    if not (Path(base) / CONFIG).is_file():
        raise ModelError(f"The base {base} has no {CONFIG}: copy all of the model's files.")
    return model_hash(Path(base), CONFIG)


def adapter_base(folder: Path) -> tuple[str, str | None]:
    """Return the base that a folder's adapter is for, and its revision; raises ModelError where it names none."""
    try:
        config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        base, revision = config["base_model_name_or_path"], config.get("revision")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{folder / ADAPTER} is not an adapter's configuration: copy the model again.") from error
    if not isinstance(base, str) or not isinstance(revision, str | None):
        raise ModelError(f"{folder / ADAPTER} names no base: set base_model_name_or_path in it.")
    return base, revision


def adapter_base_hash(folder: Path) -> str:
    """Return what identifies the base of a folder's adapter; raises ModelError where it cannot be had."""
    try:
        return base_hash(*adapter_base(folder))
    except ModelError as error:
        raise ModelError(f"{folder} is an adapter on a base that cannot be had. {error}") from error


def check_base(folder: Path) -> None:
    """Raise ModelError where the base of a folder's adapter is not the one that it was tuned on, as far as the folder
    says which that was."""
    known = read_info(folder).base_hash
    if known is not None and known != adapter_base_hash(folder):
        raise ModelError(
            f"The base {adapter_base(folder)[0]!r} is not the one that the adapter {folder} was tuned on: its "
            f"weights or {CONFIG} have changed. Put those back, or tune again."
        )
