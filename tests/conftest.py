"""Shared fixtures: the network is blocked (pytest-socket, in pyproject), the hub is offline, errors are short."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def real_data() -> Path:
    """The real sample's folder: ECELLM_REAL_DATA, or shared/data/raw beside the checkout."""
    folder = Path(os.environ.get("ECELLM_REAL_DATA", REPOSITORY.parent / "shared" / "data" / "raw"))
    if not folder.is_dir():
        pytest.skip("the real sample is not here (ECELLM_REAL_DATA)")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; returns exit code, standard output, standard error."""
    from ecellm.cli import app, guarded

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
        line = [sys.executable, "-m", "ecellm.cli", *(str(argument) for argument in arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]

    return call
