"""Shared fixtures: the network is blocked (pytest-socket, in pyproject), the hub is offline, errors are short."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from ecellm.data.dataset import Dataset, read_dataset
from ecellm.training.recipe import Recipe, read_recipe
from repository import REPOSITORY
from shop_rows import write_dataset

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# How long an example takes depends on the machine's load, so it is never a test's matter.
settings.register_profile("ecellm", deadline=None)
settings.load_profile("ecellm")
# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep converted bases apart from the user's, in a folder of this run's processes together."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECELLM_CACHE", str(shared / "cache"))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real sample's folder: ECELLM_REAL_DATA, or shared/data/sample beside the checkout."""
    folder = Path(os.environ.get("ECELLM_REAL_DATA", REPOSITORY.parent / "shared" / "data" / "sample"))
    if not folder.is_dir():
        pytest.skip("the real sample is not here (ECELLM_REAL_DATA)")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; returns exit code, standard output, standard error."""
    from ecellm.cli.app import app
    from ecellm.cli.main import guarded

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ecellm", *(str(argument) for argument in arguments)])
        code = guarded(app)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def call(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "ecellm", *(str(argument) for argument in arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]

    return call


@pytest.fixture
def file_limit() -> Callable[[int], AbstractContextManager[None]]:
    """A block in which no file grows past some bytes: what a full disk does, without filling one.

    Modules imported within are not cached: Python does not see that a write was cut short, and keeps half of a .pyc,
    which no later process can import (https://github.com/python/cpython/issues/126606).
    """

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        cached, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            sys.dont_write_bytecode = cached

    return limit


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with MiniLM's tokenizer: seconds, not minutes."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from ecellm.models.minilm import minilm_folder

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base")
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_recipe(tiny_base: Path) -> Recipe:
    """A recipe that starts from it."""
    changes = (
        f"base={tiny_base}",
        "max_tokens=200",
        "optimisation.epochs=2",
        "optimisation.batch_tokens=1024",
        "optimisation.precision=fp32",
        "validation.per_epoch=3",
        "validation.fit_thresholds=false",
    )
    return read_recipe("xs", list(changes))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A few rows of every answer type."""
    return read_dataset(write_dataset(tmp_path_factory.mktemp("data") / "dataset"))
