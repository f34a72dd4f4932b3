"""One small shop and one of the demo's size, made once."""

from pathlib import Path

import pytest

from ecellm.data.simulator import simulate

SMALL = 0.1


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "shop"
    simulate(folder, SMALL, seed=1)
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "shop"
    simulate(folder, seed=1)
    return folder
