"""Tuning: a finished folder, exact resume, refusals."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ecellm.data.dataset import Dataset, read_dataset
from ecellm.errors import DataError, EcellmError
from ecellm.models.folder import is_finished, read_info
from ecellm.training.progress import Progress
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune


class PowerCutError(Exception):
    """The process ends here."""


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Progress.on_step_end

    def cut(self: Progress, args: object, state: object, control: object, **kept: object) -> None:
        whole(self, args, state, control, **kept)  # type: ignore[arg-type]
        if state.global_step == step:  # type: ignore[attr-defined]
            self.bar.stop()
            raise PowerCutError

    monkeypatch.setattr(Progress, "on_step_end", cut)


def test_a_finished_run_has_weights_tokenizer_facts_and_log(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    tune(tiny_recipe, tiny_data, out)
    assert {"model.safetensors", "config.json", "tokenizer.json", "ecellm.json", "run.json"} <= {
        path.name for path in out.iterdir()
    }
    info = read_info(out)
    assert info.dataset == tiny_data.hash()
    assert (info.recipe.model_extra or {})["optimisation"]["epochs"] == 2
    steps = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert any("eval_loss" in row for row in steps)
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize(
    "stop", [5, pytest.param(2, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)]
)
def test_a_run_cut_at_any_step_and_resumed_ends_with_the_same_weights(
    stop: int, tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(tiny_recipe, tiny_data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(stop, patch)
        with pytest.raises(PowerCutError):
            tune(tiny_recipe, tiny_data, tmp_path / "cut")
    assert not is_finished(tmp_path / "cut")
    tune(tiny_recipe, tiny_data, tmp_path / "cut", resume=True)
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    cut = load_file(tmp_path / "cut" / "model.safetensors")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    logs = [(tmp_path / run / "log.jsonl").read_text().splitlines() for run in ("whole", "cut")]
    steps = [[json.loads(line)["step"] for line in lines] for lines in logs]
    assert steps[0] == steps[1], "what was done again is not logged twice"


def test_a_run_goes_on_from_its_last_checkpoint_and_not_from_its_last_check(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tiny_recipe.validation.model_copy(update={"per_epoch": 1})
    often = tiny_recipe.optimisation.model_copy(update={"epochs": 1, "checkpoint_steps": 2})
    chosen = tiny_recipe.model_copy(update={"optimisation": often, "validation": once})
    tune(chosen, tiny_data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(3, patch)
        with pytest.raises(PowerCutError):
            tune(chosen, tiny_data, tmp_path / "cut")
    done: list[int] = []
    moved = Progress.on_step_end

    def noted(self: Progress, args: object, state: object, control: object, **kept: object) -> None:
        done.append(state.global_step)  # type: ignore[attr-defined]
        moved(self, args, state, control, **kept)  # type: ignore[arg-type]

    monkeypatch.setattr(Progress, "on_step_end", noted)
    tune(chosen, tiny_data, tmp_path / "cut", resume=True)
    assert done[0] == 3 and len(done) > 1
    whole, cut = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_resume_starts_afresh_where_nothing_was_saved_and_changes_nothing_on_a_finished_run(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    tune(tiny_recipe, tiny_data, out, resume=True)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    tune(tiny_recipe, tiny_data, out, resume=True)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_folder_that_another_run_is_tuning_to_is_left_alone(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a study was killed and started again while the run that it had begun went on."""
    out = tmp_path / "model"
    moved, refused = Progress.on_step_end, []

    def meanwhile(self: Progress, args: object, state: object, control: object, **kept: object) -> None:
        if not refused:
            before = (out / "run.json").read_bytes()
            with pytest.raises(DataError, match="Another run is writing") as raised:
                tune(tiny_recipe, tiny_data, out, resume=True)
            refused.append(raised.value)
            assert (out / "run.json").read_bytes() == before
        moved(self, args, state, control, **kept)  # type: ignore[arg-type]

    monkeypatch.setattr(Progress, "on_step_end", meanwhile)
    tune(tiny_recipe, tiny_data, out)
    assert refused and is_finished(out) and not (out / "run.lock").exists()


def test_another_recipe_or_a_second_run_without_resume_is_refused(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    with monkeypatch.context() as patch:
        stop_at(1, patch)
        with pytest.raises(PowerCutError):
            tune(tiny_recipe, tiny_data, out)
    with pytest.raises(EcellmError, match="--resume"):
        tune(tiny_recipe, tiny_data, out)
    other = tiny_recipe.model_copy(update={"max_tokens": 180})
    with pytest.raises(EcellmError, match="begun with another recipe"):
        tune(other, tiny_data, out, resume=True)
    (out / "run.json").write_text('{"recipe": ')
    with pytest.raises(EcellmError, match=r"run\.json is not valid JSON.*: name another output, or remove"):
        tune(tiny_recipe, tiny_data, out, resume=True)


def test_a_loss_that_is_no_number_stops_with_the_samples_id(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    wild = tiny_recipe.optimisation.model_copy(update={"learning_rate": 1e30, "clip": 1e30})
    with pytest.raises(EcellmError, match=r"not a number at step \d+ \(\w+-IND-"):
        tune(tiny_recipe.model_copy(update={"optimisation": wild}), tiny_data, tmp_path / "model")


def test_a_setting_without_training_rows_is_refused(tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match="no training rows"):
        tune(tiny_recipe, tiny_data, tmp_path / "model", setting="OOD_Diverse_Instruction")
    assert not (tmp_path / "model" / "ecellm.json").exists()


def test_the_limit_is_spread_evenly_over_tasks(tiny_data: Dataset) -> None:
    from collections import Counter

    from ecellm.data.dataset import spread

    rows = spread(tiny_data.view("IND_Diverse_Instruction", "train"), 18, tiny_data.seed)
    assert set(Counter(row.example.task for row in rows).values()) == {3}
    assert read_dataset(tiny_data.path).hash() == tiny_data.hash()


def test_xs_is_refused_to_several_processes(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EcellmError, match="is for one process"):
        tune(tiny_recipe, tiny_data, tmp_path / "model")
