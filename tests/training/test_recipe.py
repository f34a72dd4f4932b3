"""Recipes: every shipped one is valid; overrides; mistakes get one sentence with a suggestion."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ecellm.errors import EcellmError
from ecellm.prompts import CHAT, named_template
from ecellm.training.recipe import read_recipe, recipe_names, recipe_text


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_says_how_to_run_it(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    if recipe.template != CHAT:
        named_template(recipe.template)
    header = "\n".join(line for line in recipe_text(name).splitlines() if line.startswith("#"))
    assert "Download:" in header and "Launch:" in header and "Hardware:" in header


@pytest.mark.parametrize("name", ["s", "m", "l", "llama-2-7b", "flan-t5-xl", "flan-t5-xxl"])
def test_the_papers_recipes_have_the_papers_hyper_parameters(name: str) -> None:
    recipe = read_recipe(name)
    lora, how = recipe.lora, recipe.optimisation
    assert lora is not None
    assert (lora.rank, lora.alpha, lora.dropout, lora.quantised) == (16, 16, 0.1, False)
    assert "lm_head" in lora.modules and len(lora.modules) >= 7
    assert (how.epochs, how.learning_rate, how.schedule, how.warmup) == (3, 1e-4, "cosine", 0.05)
    assert (how.examples, how.weight_decay, how.clip, how.precision) == (128, 0, 1, "bf16")
    assert recipe.max_tokens + recipe.max_response_tokens == 2048


def test_overrides_change_values_of_any_section() -> None:
    recipe = read_recipe("xs", ["optimisation.epochs=0.5", "template=alpaca", "mixing.balance_tasks=1"])
    assert (recipe.optimisation.epochs, recipe.template, recipe.mixing.balance_tasks) == (0.5, "alpaca", 1)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("dem", [], "Did you mean .demo."),
        ("xs", ["optimisation.epoch=1"], "did you mean 'optimisation.epochs'"),
        ("xs", ["optimisation.epochs"], "a.b=value"),
        ("xs", ["optimisation.epochs=-1"], "optimisation.epochs"),
        ("xs", ["name.x=1"], "not a section"),
    ],
)
def test_mistakes_get_one_sentence(name: str, overrides: list[str], message: str) -> None:
    with pytest.raises(EcellmError, match=message) as raised:
        read_recipe(name, overrides)
    assert len(str(raised.value).splitlines()) == 1


def test_a_file_of_ones_own_works_and_a_broken_one_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(recipe_text("xs").replace("epochs = 3", "epochs = 1"))
    assert read_recipe(str(own)).optimisation.epochs in (1, read_recipe("xs").optimisation.epochs)
    own.write_text("name = ")
    with pytest.raises(EcellmError, match="not valid TOML"):
        read_recipe(str(own))


def test_a_recipe_is_copied_out_to_be_edited(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    copy = tmp_path / "mine.toml"
    assert run("recipes", "m", "--out", copy)[0] == 0
    assert read_recipe(str(copy)) == read_recipe("m")
    code, _, message = run("recipes", "m", "--out", copy)
    assert code == 1 and "a new file that ends in .toml" in message
    assert run("recipes", "--out", tmp_path / "other.toml")[0] == 1


def test_epochs_set_by_hand_stand_whatever_steps_the_recipe_asks_for() -> None:
    assert read_recipe("xs").optimisation.min_steps > 0
    assert read_recipe("xs", ["optimisation.epochs=1"]).optimisation.min_steps == 0
    both = read_recipe("xs", ["optimisation.min_steps=7", "optimisation.epochs=1"]).optimisation
    assert (both.epochs, both.min_steps) == (1, 7)
