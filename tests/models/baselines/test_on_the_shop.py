"""The task-specific models on the simulated shop: better than every trivial baseline, and the encoder than TF-IDF."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest

from ecellm.data.builder import build
from ecellm.data.config import BuildConfig, read_config
from ecellm.data.dataset import Dataset, read_dataset
from ecellm.data.simulator import DEMO_CONFIG, simulate
from ecellm.models.baselines.base import Choices
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
    ("name", "task", "gap", "choices"),
    [
        ("last", "SR", 0.1, Choices()),
        ("gsasrec", "SR", 0.2, Choices()),
        ("recformer", "SR", 0.2, Choices()),
        ("suopentag", "AVE", 0.5, Choices()),
        ("rgcn", "PRP", 0.1, Choices()),
        ("encoder", "MPC", 0.1, Choices(epochs=1)),
        pytest.param("encoder", "PSI", 0.05, Choices(), marks=pytest.mark.long),
        ("snippet", "AG", 0.03, Choices()),
    ],
)
def test_it_beats_the_floor(
    name: str, task: str, gap: float, choices: Choices, shop: Dataset, tmp_path: Path
) -> None:
    row = scored(name, shop, tmp_path, [task], choices)[task]
    assert row["value"] > row["floor"] + gap, row


def test_question_answering_beats_trivial_baselines_from_few_rows(shop: Dataset, tmp_path: Path) -> None:
    row = scored("aveqa", shop, tmp_path, ["AVE"], Choices(limit=250))["AVE"]
    assert row["value"] > row["floor"] + 0.3, row


def test_the_ranker_beats_the_floor(shop: Dataset, tmp_path: Path) -> None:
    row = scored("encoder", shop, tmp_path, ["QPR"], Choices(epochs=1))["QPR"]
    assert row["value"] > row["floor"], row


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("task", [pytest.param(task, marks=pytest.mark.long) for task in ("PRP", "PM", "AP")])
def test_the_encoder_beats_words(task: str, shop: Dataset, tmp_path: Path) -> None:
    encoder = scored("encoder", shop, tmp_path / "encoder", [task])[task]
    words = scored("tfidf", shop, tmp_path / "tfidf", [task])[task]
    assert encoder["value"] > words["value"], (encoder, words)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_the_encoder_beats_words_on_sentiment_over_two_shops(tmp_path: Path) -> None:
    """Stars leave little room between the two: one shop's 150 rows cannot tell them apart."""
    config = read_config(DEMO_CONFIG)
    more = config.tasks["SA"].model_copy(update={"test": 600, "out_of_domain_test": 600})
    config = config.model_copy(update={"tasks": {**config.tasks, "SA": more}})
    values: dict[str, list[float]] = {"encoder": [], "tfidf": []}
    for seed in (42, 7):
        data = built(tmp_path / f"shop-{seed}", seed, config, ["SA"])
        for name, reached in values.items():
            rows = figures(name, data, tmp_path / f"{name}-{seed}", ["SA"], BOTH)
            reached += [row["value"] for row in rows]
    assert len(values["tfidf"]) == 4
    assert mean(values["encoder"]) > mean(values["tfidf"]) + 0.02, values
