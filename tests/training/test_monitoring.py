"""Watching a run: samples answered at each validation and experiment trackers, neither of which changes the run."""

import importlib
import json
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BertModel

from ecellm.data.dataset import Dataset, write_split
from ecellm.errors import EcellmError
from ecellm.models.load import load_generator
from ecellm.models.replies import replies_to
from ecellm.training.recipe import Recipe
from ecellm.training.sample_answers import as_text, ready_to_answer
from ecellm.training.trackers import check_trackers
from ecellm.training.tune import tune
from shop_rows import rows
from tiny_models import save_tiny

Run = Callable[..., tuple[int, str, str]]
Log = list[dict[str, Any]]
#: What differs from run to run whatever is watched.
MEASURED = {"tokens_per_second", "peak_memory_gib"}

#: A stand-in for the package that transformers takes where tensorboard is missing: it keeps scalars as JSON lines.
TENSORBOARD = """
import json
from pathlib import Path

class SummaryWriter:
    def __init__(self, log_dir):
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        self.file = Path(log_dir) / "scalars.jsonl"
    def add_text(self, name, text, step=None):
        pass
    def add_scalar(self, name, value, step):
        with self.file.open("a") as file:
            file.write(json.dumps([step, name, value]) + "\\n")
    def flush(self):
        pass
    close = flush
"""


def log_of(model: Path) -> Log:
    return [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]


def losses(log: Log) -> Log:
    """What the run itself logged."""
    return [{name: row[name] for name in row if name not in MEASURED} for row in log if "samples" not in row]


@pytest.fixture(params=["xs", "llama", pytest.param("t5", marks=pytest.mark.slow)])
def watched(request: pytest.FixtureRequest, tiny_recipe: Recipe, tmp_path: Path) -> Recipe:
    """A short run of each family, with dropout, so that it draws random numbers at each step."""
    optimisation: dict[str, Any] = {"epochs": 2, "learning_rate": 1e-2, "precision": "fp32", "dropout": 0.1}
    if request.param == "xs":
        moved = tiny_recipe.optimisation.model_copy(update=optimisation)
        return tiny_recipe.model_copy(update={"optimisation": moved})
    base = save_tiny(request.param, tmp_path / "base", own_head=request.param == "t5")
    modules = ["q", "v", "wi", "lm_head"] if request.param == "t5" else ["q_proj", "up_proj", "lm_head"]
    return Recipe.model_validate(
        {
            "name": "tiny",
            "family": "encoder-decoder" if request.param == "t5" else "causal",
            "base": str(base),
            "template": "alpaca",
            "max_tokens": 400,
            "max_response_tokens": 60,
            "optimisation": {**optimisation, "examples": 6, "batch_tokens": 1500},
            "lora": {"modules": modules, "rank": 4, "alpha": 4, "dropout": 0.1},
            "validation": {"per_epoch": 1, "rows": 6, "calibrate": False},
        }
    )


def test_samples_are_answered_at_each_validation_and_the_run_stays_as_it_is(
    watched: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    console = Console(record=True, width=200)
    tune(watched, tiny_data, tmp_path / "plain")
    tune(watched, tiny_data, tmp_path / "shown", show_samples=6, console=console)
    plain, shown = log_of(tmp_path / "plain"), log_of(tmp_path / "shown")
    assert len(losses(plain)) > 2 and losses(shown) == losses(plain)
    one, other = (next((tmp_path / run).glob("*model.safetensors")) for run in ("plain", "shown"))
    before, after = load_file(one), load_file(other)
    assert all(torch.equal(before[name], after[name]) for name in before)

    examples = [row for row in shown if "samples" in row]
    assert [row["step"] for row in examples] == [row["step"] for row in shown if "eval_loss" in row]
    known = {one.example.id: one.example for one in tiny_data.view("IND_Diverse_Instruction", "validation")}
    for row in examples:
        assert {example["task"] for example in row["samples"]} == {"PM", "SA", "SR", "QPR", "AVE", "AG"}
        for example in row["samples"]:
            assert example["reference"] == known[example["id"]].output
            assert example["prompt"] and isinstance(example["answer"], str)
            assert ("probability" in example) == (example["task"] not in ("AVE", "AG"))
    output = console.export_text()
    assert all(output.count(example["id"]) == len(examples) for example in examples[0]["samples"])
    assert output.count("\n    reference ") == output.count("\n    answer ") == 6 * len(examples)


def test_what_is_shown_at_the_end_is_what_predict_answers(
    watched: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    tune(watched, tiny_data, tmp_path / "model", show_samples=6)
    log = log_of(tmp_path / "model")
    best = json.loads((tmp_path / "model" / "ecellm.json").read_text())["best_step"]
    (shown,) = [row["samples"] for row in log if "samples" in row and row["step"] == best]
    by_id = {one.example.id: one for one in tiny_data.view("IND_Diverse_Instruction", "validation")}
    replies = replies_to(load_generator(tmp_path / "model"), [by_id[example["id"]] for example in shown])
    for example, reply in zip(shown, replies, strict=True):
        assert example["answer"] == reply.text  # type: ignore[union-attr]
        if "probability" in example:
            assert example["probability"] == pytest.approx(reply.probability, abs=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_model_that_answered_goes_on_as_it_was(precision: torch.dtype, tmp_path: Path, tiny_base: Path) -> None:
    from ecellm.models.cpu_attention import CPU_ATTENTION
    from ecellm.models.transformers.pretrained import attending

    causal = AutoModelForCausalLM.from_pretrained(save_tiny("llama", tmp_path), dtype=precision)
    for model in (causal, BertModel.from_pretrained(tiny_base, dtype=precision)):
        for training in (True, False):
            model.train(training)
            model.set_attn_implementation(CPU_ATTENTION)
            drawn = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
            with pytest.raises(ZeroDivisionError), ready_to_answer(model, partial(attending, model, "sdpa")):
                assert not model.training and model.config._attn_implementation == "sdpa"
                raise ZeroDivisionError  # whatever happens
            assert all(module.training == training for module in model.modules())
            assert model.config._attn_implementation == CPU_ATTENTION and model.dtype == precision
            assert torch.equal(torch.get_rng_state(), drawn[0])
            assert np.random.get_state()[1].tolist() == drawn[1] and random.getstate() == drawn[2]


def test_a_long_prompt_is_shown_without_its_middle_and_brackets_stay_text() -> None:
    example = {"id": "PM-1", "prompt": f"[bold]{'a ' * 400}\n\nend[/bold]", "reference": "yes", "answer": "no"}
    lines = as_text({**example, "probability": 0.61}).plain.splitlines()
    assert lines[0] == "  PM-1" and lines[2:] == ["    reference yes", "    answer    no (0.610)"]
    assert (
        lines[1].startswith("    prompt    [bold]a a") and " [...] " in lines[1] and lines[1].endswith("end[/bold]")
    )
    assert len(lines[1]) < 450
    assert as_text({**example, "prompt": "short"}).plain.splitlines()[1] == "    prompt    short"


def test_samples_are_shown_by_the_command_and_wanted_where_there_are_rows(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path, run: Run
) -> None:
    changes = [f"base={tiny_recipe.base}", "optimisation.epochs=1", "optimisation.precision=fp32", "max_tokens=200"]
    given = [part for change in (*changes, "validation.calibrate=false") for part in ("--set", change)]
    code, _, output = run(
        "tune", "xs", "--data", tiny_data.path, "--out", tmp_path / "a", "--show-samples", 2, *given
    )
    assert code == 0, output
    checks = [row for row in log_of(tmp_path / "a") if "samples" in row]
    assert checks and all(len(row["samples"]) == 2 for row in checks)
    assert checks[0]["samples"][0]["id"] in output

    empty = tmp_path / "empty"
    empty.mkdir()
    for split in ("train", "test"):
        write_split(rows(split, 2), empty / f"{split}.parquet")  # type: ignore[arg-type]
    write_split([], empty / "validation.parquet")
    (empty / "manifest.json").write_text('{"seed": 1}')
    code, _, output = run("tune", "xs", "--data", empty, "--out", tmp_path / "b", "--show-samples", 2, *given)
    assert code == 1 and "has no validation rows" in output and not (tmp_path / "b").exists()


def test_a_model_spread_over_processes_shows_no_samples(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(EcellmError, match="which FSDP spreads over processes"):
        tune(tiny_recipe, tiny_data, tmp_path / "model", show_samples=2)
    assert not (tmp_path / "model").exists()


@pytest.fixture
def tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small TensorBoard, whether the real one is installed or not."""
    package = tmp_path / "site" / "tensorboardX"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TENSORBOARD)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    importlib.invalidate_caches()
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)


def test_a_tracker_is_given_what_the_log_is_given(
    tensorboard: None, watched: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    tune(watched, tiny_data, out, report_to=["tensorboard"])
    logged = {(row["step"], name): row[name] for row in log_of(out) for name in row if name not in ("step", "epoch")}
    tracked = {}
    for line in (out / "tensorboard" / "scalars.jsonl").read_text().splitlines():
        step, name, value = json.loads(line)
        kind, _, rest = name.partition("/")
        tracked[step, rest if kind == "train" else f"eval_{rest}"] = value
    # Trainer's summary of the process, train_loss and the like, is not the log's.
    tracked = {key: value for key, value in tracked.items() if key[1] != "epoch" and not key[1].startswith("train_")}
    assert tracked == logged
    names = {name for _, name in tracked}
    assert {"loss", "learning_rate", "grad_norm", "eval_loss", "eval_loss_PM", "tokens_per_second"} <= names
    assert "peak_memory_gib" in names


def test_trackers_are_off_unless_named_and_a_mistake_is_said_before_the_start(
    tensorboard: None,
    tiny_recipe: Recipe,
    tiny_data: Dataset,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ecellm.training import trackers

    changes = [f"base={tiny_recipe.base}", "optimisation.epochs=1", "optimisation.precision=fp32", "max_tokens=200"]
    settings = [part for change in (*changes, "validation.calibrate=false") for part in ("--set", change)]
    given = ("tune", "xs", "--data", tiny_data.path, "--limit", 6, *settings)
    assert run(*given, "--out", tmp_path / "off")[0] == 0 and not (tmp_path / "off" / "tensorboard").exists()
    assert run(*given, "--out", tmp_path / "on", "--report-to", "tensorboard")[0] == 0
    assert (tmp_path / "on" / "tensorboard" / "scalars.jsonl").is_file()
    code, _, output = run(*given, "--out", tmp_path / "no", "--report-to", "tensorbord")
    assert code == 1 and "there is no tracker 'tensorbord'; choose from" in output and "mlflow" in output
    monkeypatch.setattr(trackers, "get_available_reporting_integrations", lambda: ["tensorboard"])
    code, _, output = run(*given, "--out", tmp_path / "no", "--report-to", "tensorboard, trackio")
    assert code == 1 and "--report-to trackio: its package is missing, or not set up: pip install trackio" in output
    assert not (tmp_path / "no").exists()
    with pytest.raises(EcellmError, match="there is no tracker 'codecarbon'"):
        check_trackers(["codecarbon"])
    check_trackers(["tensorboard"])
