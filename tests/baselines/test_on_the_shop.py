"""The task-specific models on the simulated shop: better than every trivial answer, and the encoder than TF-IDF."""

from pathlib import Path

import pytest

from ecellm.baselines.part import Choices
from ecellm.dataset.build import build
from ecellm.dataset.config import read_config
from ecellm.dataset.dataset import Dataset, read_dataset
from ecellm.sources.simulator import DEMO_CONFIG, simulate
from ecellm.tasks import TASKS
from fitted import scored

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder / "sources", seed=42)
    config = read_config(DEMO_CONFIG)
    build(folder / "sources", config, folder / "data", list(TASKS.values()), 42, lambda step: None)
    return read_dataset(folder / "data")


@pytest.mark.parametrize(
    ("name", "task", "gap"),
    [
        ("last", "SR", 0.1),
        ("gsasrec", "SR", 0.2),
        ("recformer", "SR", 0.2),
        ("suopentag", "AVE", 0.5),
        ("rgcn", "PRP", 0.1),
    ],
)
def test_it_beats_the_floor(name: str, task: str, gap: float, shop: Dataset, tmp_path: Path) -> None:
    row = scored(name, shop, tmp_path, [task])[task]
    assert row["value"] > row["floor"] + gap, row


def test_question_answering_beats_the_floor_from_few_rows(shop: Dataset, tmp_path: Path) -> None:
    row = scored("aveqa", shop, tmp_path, ["AVE"], Choices(limit=250))["AVE"]
    assert row["value"] > row["floor"] + 0.3, row


def test_the_ranker_beats_the_floor(shop: Dataset, tmp_path: Path) -> None:
    row = scored("encoder", shop, tmp_path, ["QPR"], Choices(epochs=1))["QPR"]
    assert row["value"] > row["floor"], row


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("task", ["PRP", "PM", "AP"])
def test_the_encoder_beats_words(task: str, shop: Dataset, tmp_path: Path) -> None:
    encoder = scored("encoder", shop, tmp_path / "encoder", [task])[task]
    words = scored("cheap", shop, tmp_path / "cheap", [task])[task]
    assert encoder["value"] > words["value"], (encoder, words)
