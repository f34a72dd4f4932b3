"""The task-specific models on the simulated shop: better than every trivial answer, and the encoder than TF-IDF."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest

from ecellm.baselines.part import Choices
from ecellm.dataset.build import build
from ecellm.dataset.config import BuildConfig, read_config
from ecellm.dataset.dataset import Dataset, read_dataset
from ecellm.sources.simulator import DEMO_CONFIG, simulate
from ecellm.tasks import TASKS
from fitted import figures, scored

pytestmark = pytest.mark.slow
BOTH = ("IND_Diverse_Instruction", "OOD_Diverse_Instruction")


def built(folder: Path, seed: int, config: BuildConfig, tasks: Sequence[str] = tuple(TASKS)) -> Dataset:
    simulate(folder / "sources", seed=seed)
    chosen = [TASKS[name] for name in tasks]
    build(folder / "sources", config, folder / "data", chosen, seed, lambda step: None)
    return read_dataset(folder / "data")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return built(tmp_path_factory.mktemp("shop"), 42, read_config(DEMO_CONFIG))


@pytest.mark.parametrize(
    ("name", "task", "gap"),
    [
        ("last", "SR", 0.1),
        ("gsasrec", "SR", 0.2),
        ("recformer", "SR", 0.2),
        ("suopentag", "AVE", 0.5),
        ("rgcn", "PRP", 0.1),
        ("encoder", "MPC", 0.2),
        ("encoder", "PSI", 0.05),
        ("snippet", "AG", 0.03),
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
@pytest.mark.parametrize(
    "task", ["PRP", pytest.param("PM", marks=pytest.mark.long), pytest.param("AP", marks=pytest.mark.long)]
)
def test_the_encoder_beats_words(task: str, shop: Dataset, tmp_path: Path) -> None:
    encoder = scored("encoder", shop, tmp_path / "encoder", [task])[task]
    words = scored("cheap", shop, tmp_path / "cheap", [task])[task]
    assert encoder["value"] > words["value"], (encoder, words)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_the_encoder_beats_words_on_sentiment_over_two_shops(tmp_path: Path) -> None:
    """Stars leave little room between the two: one shop's 150 rows cannot tell them apart."""
    config = read_config(DEMO_CONFIG)
    more = config.tasks["SA"].model_copy(update={"test": 600, "out_of_domain_test": 600})
    config = config.model_copy(update={"tasks": {**config.tasks, "SA": more}})
    values: dict[str, list[float]] = {"encoder": [], "cheap": []}
    for seed in (42, 7):
        data = built(tmp_path / f"shop-{seed}", seed, config, ["SA"])
        for name, reached in values.items():
            rows = figures(name, data, tmp_path / f"{name}-{seed}", ["SA"], BOTH)
            reached += [row["value"] for row in rows]
    assert len(values["cheap"]) == 4
    assert mean(values["encoder"]) > mean(values["cheap"]) + 0.02, values
