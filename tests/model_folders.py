"""Model folders for tests: what `ecellm.json` says, written from plain values."""

from collections.abc import Mapping
from pathlib import Path

from ecellm.models.folder import ModelInfo, write_info


def describe(folder: Path, values: Mapping[str, object]) -> None:
    """Write the folder's `ecellm.json`, which makes it a finished model."""
    write_info(folder, ModelInfo.model_validate(values))
