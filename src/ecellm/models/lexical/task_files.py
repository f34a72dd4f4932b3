"""The files of one task's small model in a MODEL folder, of baselines and of XS's linear models."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from ecellm.io.files import set_default_mode
from ecellm.io.hashing import file_hash
from ecellm.models.model_files import damaged

#: Arrays of any types, by name.
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TaskFiles:
    """The place of one task's model in a MODEL folder."""

    folder: Path
    task: str

    @property
    def notes(self) -> Path:
        """The file of vocabularies and settings."""
        return self.folder / f"{self.task}.json"

    @property
    def weights(self) -> Path:
        """The file of arrays."""
        return self.folder / f"{self.task}.safetensors"

    def write(self, notes: Mapping[str, object], arrays: Arrays) -> None:
        """Write both files."""
        self.notes.write_text(json.dumps(notes, ensure_ascii=True) + "\n", encoding="utf-8")
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, self.weights)
        set_default_mode([self.weights])

    def read(self) -> tuple[Any, Arrays]:
        """Return what was written, notes of the model's own form; raises ModelError where arrays cannot be read."""
        try:
            return json.loads(self.notes.read_text(encoding="utf-8")), load_file(self.weights)
        except SafetensorError as error:
            raise damaged(self.weights) from error

    def hash(self) -> str:
        """Return the sha256 of both files, for `ecellm.json` and so for the model's hash."""
        return hashlib.sha256(f"{file_hash(self.notes)} {file_hash(self.weights)}".encode()).hexdigest()

    def older_hash(self) -> str:
        """Return what older versions wrote instead: the sha256 of the vocabularies and settings alone."""
        return file_hash(self.notes)

    def there(self) -> bool:
        """Say whether both files exist; raises ModelError where the weights are damaged."""
        if not self.notes.is_file() or not self.weights.is_file():
            return False
        try:
            with safe_open(self.weights, framework="np"):
                return True
        except SafetensorError as error:
            raise damaged(self.weights) from error
