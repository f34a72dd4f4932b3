"""Merging says whether the merged model answers as the adapter did."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraModel

from ecellm.data.dataset import Dataset, write_split
from ecellm.inference.agreement import agreement
from ecellm.inference.row_questions import example_questions
from ecellm.models.base import Failure, Reply
from ecellm.models.transformers import merging
from ecellm.tasks import TASKS
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune
from shop_rows import rows
from tiny_models import save_tiny

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def adapter(tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on a tiny base, tuned on the six tasks of the rows."""
    folder = tmp_path_factory.mktemp("adapter")
    recipe = {
        "name": "tiny",
        "family": "causal",
        "base": str(save_tiny("llama", folder / "base", max_position_embeddings=2048)),
        "template": "alpaca",
        "max_tokens": 400,
        "lora": {"modules": ["q_proj", "v_proj"], "rank": 4, "alpha": 4},
        "optimisation": {
            "epochs": 1,
            "learning_rate": 1e-2,
            "examples": 8,
            "batch_tokens": 1500,
            "precision": "fp32",
        },
        "validation": {"calibrate": False, "rows": 6},
    }
    tune(Recipe.model_validate(recipe), tiny_data, folder / "model")
    return folder / "model"


def test_the_adapter_and_the_merged_model_answer_built_in_questions_of_the_models_tasks(
    adapter: Path, tmp_path: Path, run: Run
) -> None:
    code, output, error = run("merge", adapter, "--out", tmp_path / "whole")
    assert code == 0 and "Warning" not in error
    assert "Answers of the adapter and the merged model: 12 of 12 equal (built-in)." in output


def test_questions_may_come_from_a_dataset(adapter: Path, tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    given = ("merge", adapter, "--out", tmp_path / "whole", "--check", tiny_data.path)
    code, output, _ = run(*given, "--limit", 7)
    assert code == 0 and f"7 of 7 equal ({tiny_data.path})." in output


def test_a_limit_of_none_compares_no_answers(adapter: Path, tmp_path: Path, run: Run) -> None:
    code, output, _ = run("merge", adapter, "--out", tmp_path / "whole", "--limit", 0)
    assert code == 0 and "Merged model written" in output and "nswers" not in output


def test_answers_that_differ_are_counted_by_task_with_a_warning(
    adapter: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LoraModel.merge_and_unload

    def worse(self: Any) -> Any:
        model = whole(self)
        with torch.no_grad():
            model.lm_head.weight.neg_()
        return model

    monkeypatch.setattr(LoraModel, "merge_and_unload", worse)
    monkeypatch.setattr(merging, "CLOSE", {torch.float32: float("inf")})
    code, output, error = run("merge", adapter, "--out", tmp_path / "whole")
    assert code == 0 and (tmp_path / "whole" / "model.safetensors").is_file()
    assert "of 12 equal (built-in); different: " in output and "PM 2 of 2" in output
    assert "Warning: the merged model does not answer as the adapter did" in error


def test_a_dataset_that_has_nothing_to_ask_is_refused_before_merging(adapter: Path, tmp_path: Path, run: Run) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "validation"):
        write_split(rows(split, 1), data / f"{split}.parquet")  # type: ignore[arg-type]
    write_split([], data / "test.parquet")
    (data / "manifest.json").write_text('{"seed": 1}')
    code, _, error = run("merge", adapter, "--out", tmp_path / "whole", "--check", data)
    assert code == 1 and "has no test rows of the model's tasks" in error
    code, _, error = run("merge", adapter, "--out", tmp_path / "whole", "--check", tmp_path / "nowhere")
    assert code == 1 and not (tmp_path / "whole").exists()


def test_every_task_has_example_questions_that_can_be_asked() -> None:
    found = example_questions()
    rows = {name: task.sample_rows for name, task in TASKS.items()}
    assert [row.example.task for row in found[: len(TASKS)]] == list(TASKS)
    assert len(found) == sum(len(some) for some in rows.values()) == len({row.example.id for row in found})
    assert {row.example.task for row in example_questions({"PM", "OWN"})} == {"PM"}
    assert example_questions({"OWN"}) == []


def test_agreement_counts_equal_texts_and_near_ties_among_the_others() -> None:
    questions = example_questions({"PM", "SA"})
    same = [Reply("yes"), Reply("A: very positive"), Reply("no"), Reply("B: positive")]
    other = [Reply("no", near_tie=True), same[1], same[2], Failure("down")]
    found = agreement(questions, same, other)
    assert (found.equal, found.near_ties) == (2, 1)
    assert dict(found.questions) == {"PM": 2, "SA": 2} and dict(found.different) == {"PM": 1, "SA": 1}
    assert agreement(questions, same, same).equal == 4
