"""Lower precision on a CPU: opt-in, close to fp32, whatever the batch, and never mixed with other answers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models import load
from ecellm.models.base import Decoding, Generator, Reply, Request
from ecellm.models.load import identity, load_generator
from ecellm.models.low_precision_linear import Bf16Linear, Int8Linear
from ecellm.models.precision import Precision, lower_precision
from ecellm.models.replies import replies_to
from ecellm.prompts import TEMPLATES
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune
from ecellm.types import SETTINGS
from model_folders import describe
from tiny_models import CONFIGS, save_tiny

Run = Callable[..., tuple[int, str, str]]
LOWERED: dict[Precision, type[nn.Module]] = {"bf16": Bf16Linear, "int8": Int8Linear}
#: The largest error of a product, as a share of its largest number.
ERRORS: dict[Precision, float] = {"bf16": 1e-2, "int8": 2e-2}
#: How far probabilities of tiny models with doubled random weights may move; tuned models are in docs/asking.md.
DRIFT: dict[Precision, float] = {"bf16": 0.02, "int8": 0.1}


@pytest.fixture(scope="module")
def xs(tiny_base: Path, tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny XS, tuned for a moment."""
    out = tmp_path_factory.mktemp("xs") / "model"
    optimisation = {"epochs": 1, "batch_tokens": 1024, "precision": "fp32"}
    validation = {"fit_thresholds": False, "calibrate": False}
    recipe: dict[str, Any] = {"name": "tiny", "family": "xs", "base": str(tiny_base), "max_tokens": 200}
    tune(Recipe.model_validate({**recipe, "optimisation": optimisation, "validation": validation}), tiny_data, out)
    return out


def model_of(name: str, folder: Path) -> Path:
    """A MODEL folder of an architecture, with weights so large that answers differ from row to row."""
    save_tiny(name, folder)
    if name != "t5":
        model = AutoModelForCausalLM.from_pretrained(folder)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(2)
        model.save_pretrained(folder)
    recipe = {"family": "encoder-decoder" if name == "t5" else "causal", "max_tokens": 400}
    describe(folder, {"recipe": recipe, "template": TEMPLATES["alpaca"].model_dump(), "offsets": {}})
    return folder


def answers(generator: Generator, data: Dataset, tasks: Sequence[str] = ("PM", "SA", "QPR")) -> list[Reply]:
    replies = replies_to(generator, data.view(SETTINGS[0], "test", tasks))
    assert all(isinstance(reply, Reply) for reply in replies)
    return [reply for reply in replies if isinstance(reply, Reply)]


def moved(some: Sequence[Reply], others: Sequence[Reply]) -> float:
    """The largest difference of a candidate's probability."""
    return max(
        abs(one.scores[text] - other.scores[text])
        for one, other in zip(some, others, strict=True)
        if one.scores is not None and other.scores is not None
        for text in one.scores
    )


@pytest.mark.parametrize("precision", LOWERED)
@pytest.mark.parametrize("bias", [True, False])
def test_a_lowered_layer_gives_about_what_the_layer_gives(precision: Precision, bias: bool) -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(64, 96, bias), torch.randn(3, 7, 64)
    inputs[0, 0] = 0.0
    inputs[1, 1] *= 1000.0  # a token's own scale: its neighbours do not suffer
    with torch.inference_mode():
        right, found = layer(inputs), LOWERED[precision](layer)(inputs)
    assert found.shape == right.shape and found.dtype == torch.float32
    assert not torch.equal(found, right)
    for one, other in zip(found.flatten(0, 1), right.flatten(0, 1), strict=True):
        assert float((one - other).abs().max()) <= ERRORS[precision] * float(other.abs().max())


def test_in_int8_a_tokens_output_does_not_depend_on_what_stands_beside_it() -> None:
    torch.manual_seed(0)
    layer, inputs = Int8Linear(nn.Linear(64, 96)), torch.randn(20, 64)
    inputs[5] *= 1000.0
    together = layer(inputs)
    for row in range(20):
        assert torch.equal(layer(inputs[row : row + 1])[0], together[row])


@pytest.mark.parametrize("precision", LOWERED)
def test_xs_answers_about_the_same_in_a_lower_precision(precision: Precision, xs: Path, tiny_data: Dataset) -> None:
    exact = answers(load_generator(xs), tiny_data)
    lowered = answers(load_generator(xs, Decoding(precision=precision)), tiny_data)
    assert 0 < moved(exact, lowered) < DRIFT[precision]
    values = answers(load_generator(xs, Decoding(precision=precision)), tiny_data, ("AVE",))
    assert [[triple["attribute"] for triple in json.loads(reply.text)] for reply in values] == [
        ["color", "weight"]
    ] * 3
    assert len(answers(load_generator(xs, Decoding(precision=precision)), tiny_data, ("AG",))) == 3


@pytest.mark.parametrize("precision", LOWERED)
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "t5"])
def test_causal_models_answer_about_the_same_with_their_output_head_in_fp32(
    name: str, precision: Precision, tiny_data: Dataset, tmp_path: Path
) -> None:
    folder = model_of(name, tmp_path)
    exact = answers(load_generator(folder), tiny_data)
    lowered: Any = load_generator(folder, Decoding(precision=precision))
    assert 0 < moved(exact, answers(lowered, tiny_data)) < DRIFT[precision]
    kinds = {type(module) for module in lowered.model.modules()}
    assert LOWERED[precision] in kinds
    assert type(lowered.model.get_output_embeddings()) is nn.Linear


@pytest.mark.parametrize("precision", LOWERED)
def test_the_batch_matters_no_more_than_the_mark_of_near_ties_says(
    precision: Precision, xs: Path, tiny_data: Dataset
) -> None:
    generator: Any = load_generator(xs, Decoding(precision=precision))
    rows = tiny_data.view(SETTINGS[0], "test", ("PM", "SA", "QPR"))
    together = answers(generator, tiny_data)
    questions = [Request(one, prompt) for one, prompt in zip(rows, generator.prompts(rows), strict=True)]
    singly = [generator.reply([question])[0] for question in questions]
    assert moved(together, singly) < generator.near == 2e-2


def test_the_precision_is_part_of_a_runs_record_but_for_fp32(xs: Path) -> None:
    plain = identity(xs)
    assert (
        plain == identity(xs, Decoding(precision="fp32"))
        and plain["decoding"] == "closed, greedy, at most 100 tokens"
    )
    lowered = identity(xs, Decoding(precision="int8"))
    assert lowered["decoding"] == "closed, greedy, at most 100 tokens, int8"
    assert {key for key in plain if plain[key] != lowered[key]} == {"decoding"}


def test_answers_of_two_precisions_are_not_mixed(xs: Path, tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    for first, second in (("fp32", "bf16"), ("int8", "fp32")):
        out = tmp_path / f"{first}.jsonl"
        given = ("predict", xs, "--data", tiny_data.path, "--out", out, "--tasks", "PM", "--setting", SETTINGS[0])
        assert run(*given, "--limit", 2, "--precision", first)[0] == 0
        before = out.read_bytes()
        code, _, error = run(*given, "--precision", second)
        assert code == 1 and "holds answers of another decoding" in error
        assert out.read_bytes() == before
        assert run(*given, "--precision", first)[0] == 0 and len(out.read_text().splitlines()) == 3


def test_a_table_and_a_single_question_are_asked_in_a_lower_precision(xs: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"title_1": "red mug", "title_2": "blue mug"}) + "\n")
    given = ("--input", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl", "--precision", "int8")
    code, _, error = run("ask", "PM", xs, *given)
    assert code == 0, error
    row = json.loads((tmp_path / "out.jsonl").read_text())
    code, output, _ = run(
        "ask", "PM", xs, "--set", "title_1=red mug", "--set", "title_2=blue mug", "--precision", "int8"
    )
    assert code == 0 and output.splitlines()[0] == row["answer"]
    assert output.splitlines()[1] == f"probability {row['probability']:.3f}"


def test_where_it_would_change_nothing_it_is_refused(
    xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered = Decoding(precision="bf16")
    with pytest.raises(EcellmError, match="the precision that its server or engine gives it"):
        load_generator("openai:name", lowered)
    with pytest.raises(EcellmError, match="the precision that its server or engine gives it"):
        load_generator(f"vllm:{xs}", lowered)
    with pytest.raises(EcellmError, match="for XS and causal models; this one is an encoder-decoder"):
        load_generator(model_of("t5", tmp_path / "t5"), lowered)
    (tmp_path / "baseline").mkdir()
    describe(tmp_path / "baseline", {"recipe": {"family": "baseline"}})
    with pytest.raises(EcellmError, match="is a baseline, which predicts in fp32"):
        load_generator(tmp_path / "baseline", lowered)
    with pytest.raises(EcellmError, match="has no linear layers that --precision int8 could change"):
        lower_precision(nn.Sequential(nn.LayerNorm(3)), "int8")
    monkeypatch.setattr(load, "best_device", lambda: "cuda")
    with pytest.raises(EcellmError, match="--precision is for CPUs"):
        load_generator(xs, lowered)
