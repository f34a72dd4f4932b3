"""SR's models: the loss against its paper, attention that cannot see what comes later, items never seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_tfidf import made, save
from torch.nn import functional

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.baselines.base import Choices
from ecellm.models.baselines.gsasrec import UNSEEN, GSASRec, GsasrecNetwork, beta, gbce, target
from ecellm.models.baselines.training import seeded
from ecellm.models.folder import model_hash
from ecellm.models.lexical.recommendation import candidates
from ecellm.models.load import load_generator
from ecellm.types import Example
from fitted import answered, scored

SCORES = st.floats(-6, 6)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    counts = {"train": 90, "validation": 30, "test": 40}
    rows = [made("SR", split, n) for split, count in counts.items() for n in range(count)]  # type: ignore[arg-type]
    return save(tmp_path_factory.mktemp("sequences") / "data", rows)


@given(SCORES, st.lists(SCORES, min_size=1, max_size=5))
def test_at_power_one_it_is_binary_cross_entropy(positive: float, negative: list[float]) -> None:
    scores = torch.tensor([positive, *negative], dtype=torch.float64)
    labels = torch.tensor([1.0, *[0.0] * len(negative)], dtype=torch.float64)
    expected = functional.binary_cross_entropy_with_logits(scores, labels)
    assert float(gbce(scores[0], scores[1:], 1.0)) == pytest.approx(float(expected))


@given(SCORES, st.lists(SCORES, min_size=1, max_size=5), st.floats(0.05, 1))
def test_it_is_cross_entropy_of_a_transformed_positive(positive: float, negative: list[float], power: float) -> None:
    """gBCE(s+, s-) = BCE(gamma(s+), s-), sigma(gamma(s)) = sigma(s)^beta (section 6.2 of the paper)."""
    probability = (1 + np.exp(-positive)) ** -power
    gamma = np.log(probability / (1 - probability))
    others = torch.tensor(negative, dtype=torch.float64)
    one = gbce(torch.tensor(positive, dtype=torch.float64), others, power)
    assert float(one) == pytest.approx(float(gbce(torch.tensor(gamma), others, 1.0)))


@pytest.mark.parametrize(("calibration", "expected"), [(0.0, 1.0), (1.0, 0.1), (0.5, 0.55)])
def test_the_power_follows_the_calibration(calibration: float, expected: float) -> None:
    assert beta(10, 101, calibration) == pytest.approx(expected)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_full_calibration_makes_the_least_loss_a_true_probability(calibration: float) -> None:
    """Of an item that follows with probability p and is drawn as a negative with rate alpha when it does not."""
    p, negatives, items = 0.2, 4, 41
    alpha, power = negatives / (items - 1), beta(negatives, items, calibration)
    grid = torch.linspace(-6, 6, 24001, dtype=torch.float64)
    loss = -(power * p * functional.logsigmoid(grid) + alpha * (1 - p) * functional.logsigmoid(-grid))
    least = float(torch.sigmoid(grid[loss.argmin()]))
    assert least == pytest.approx(power * p / (power * p + alpha * (1 - p)), abs=1e-3)
    assert (calibration == 1.0) == (abs(least - p) < 1e-3)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.data())
def test_a_later_purchase_changes_nothing_before_it(bought: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(bought) - 1))
    with seeded(3):
        net = GsasrecNetwork(12).eval()
    changed = [*bought[:place], 10, *bought[place + 1 :]]
    with torch.no_grad():
        one, other = net(torch.tensor([bought, changed]))
    # Rows of a batch are not always rounded alike; what a later purchase says is far above that.
    assert torch.allclose(one[:place], other[:place], rtol=0, atol=1e-5)
    assert not torch.allclose(one[place:], other[place:], rtol=0, atol=1e-2)


def test_padding_changes_nothing_before_it() -> None:
    with seeded(3):
        net = GsasrecNetwork(12).eval()
    with torch.no_grad():
        assert torch.allclose(net(torch.tensor([[3, 4, 0, 0]]))[0, :2], net(torch.tensor([[3, 4]]))[0], atol=1e-6)


@pytest.mark.parametrize("name", ["gsasrec", "recformer"])
def test_it_learns_what_follows_alike_every_time(name: str, data: Dataset, tmp_path: Path) -> None:
    row = scored(name, data, tmp_path / "one", ["SR"], Choices(epochs=6))["SR"]
    assert row["value"] > row["floor"] + 0.2 and row["unparsed"] == 0
    answered(name, data, tmp_path / "two", ["SR"], choices=Choices(epochs=6))
    assert model_hash(tmp_path / "one" / "model") == model_hash(tmp_path / "two" / "model")


def test_an_item_never_bought_has_no_embedding_of_its_own(data: Dataset, tmp_path: Path) -> None:
    answered("gsasrec", data, tmp_path, ["SR"], choices=Choices(epochs=1))
    model = load_generator(tmp_path / "model").models["SR"]  # type: ignore[attr-defined]
    assert isinstance(model, GSASRec)
    bought = {text for example in data.examples("train") for text in [target(example)]}
    options = repr(["A: never", "B: heard of", f"C: {sorted(bought)[0]}"])
    odd = Example("odd", "SR", "IND", "test", repr(["1st: nor this"]), options, "C")
    scores = model.scores([odd])[0]
    assert candidates(odd)[0] not in model.numbers and model._numbered(["never"]) == [UNSEEN]
    assert scores[0] == scores[1] != scores[2]
    assert model.reply([odd])[0].text in "AC"


def test_an_answer_that_names_no_option_is_said() -> None:
    with pytest.raises(EcellmError, match="none of its options"):
        target(Example("x", "SR", "IND", "train", "['1st: a']", "['A: b']", "Q"))
