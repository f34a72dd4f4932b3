"""A tiny XS that was never tuned."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from ecellm.models.base import Generator
from ecellm.models.load import load_generator
from ecellm.models.xs.model import warm_start
from ecellm.prompts import TEMPLATES
from model_folders import describe


@pytest.fixture(scope="session")
def xs_folder(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    folder = tmp_path_factory.mktemp("served") / "tiny-xs"
    folder.mkdir()
    torch.manual_seed(3)
    warm_start(tiny_base).save(folder)
    AutoTokenizer.from_pretrained(tiny_base).save_pretrained(folder)
    recipe = {"family": "xs", "max_tokens": 200, "max_response_tokens": 12}
    describe(folder, {"recipe": recipe, "template": TEMPLATES["compact"].model_dump(), "offsets": {}})
    return folder


@pytest.fixture(scope="session")
def xs(xs_folder: Path) -> Generator:
    return load_generator(xs_folder, device="cpu")
