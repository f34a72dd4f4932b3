"""What a recipe may choose for causal models on a CPU: frozen layers, bf16 weights; and losses by sample."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.transformers.master_weights import MasterAdamW
from ecellm.models.transformers.packing import TokenisedExample
from ecellm.models.transformers.trainer import LanguageTrainer
from ecellm.models.transformers.tuning import freeze, load_base
from ecellm.training.progress import Progress
from ecellm.training.recipe import Recipe, read_recipe, recipe_names
from ecellm.training.tune import tune
from tiny_models import save_tiny

EXAMPLES = [
    TokenisedExample("a", "PM", [5, 6, 7], [8, 1]),
    TokenisedExample("b", "AG", [9, 4, 30, 31], [32, 33, 34, 35, 36, 37, 1]),
    TokenisedExample("c", "PM", [40, 41], [42, 1]),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama of four layers whose head is its embeddings, as SmolLM2's."""
    return save_tiny("llama", tmp_path_factory.mktemp("base"), num_hidden_layers=4, tie_word_embeddings=True)


def recipe(base: Path, **changes: Any) -> Recipe:
    how = {"epochs": 2, "learning_rate": 1e-3, "examples": 8, "batch_tokens": 1500, "precision": "fp32"}
    return Recipe.model_validate(
        {
            "name": "tiny",
            "family": "causal",
            "base": str(base),
            "template": "alpaca",
            "max_tokens": 400,
            "optimisation": {**how, **changes.pop("optimisation", {})},
            "validation": {"per_epoch": 2, "rows": 6, "calibrate": False},
            **changes,
        }
    )


def trainer_of(chosen: Recipe, folder: Path) -> LanguageTrainer:
    use_bf16 = chosen.optimisation.precision == "bf16"
    model = load_base(chosen, use_bf16)
    freeze(model, chosen)
    return LanguageTrainer(model, chosen, EXAMPLES, EXAMPLES, folder, use_bf16, 0)


def test_all_of_them_are_off_unless_a_recipe_says_so() -> None:
    for name in set(recipe_names()) - {"smollm2-135m"}:
        chosen = read_recipe(name)
        how = chosen.optimisation
        assert (how.freeze_layers, how.bf16_weights, chosen.mixing.loss_by) == (0, False, "token")
        assert how.freeze_embeddings is (chosen.family == "xs")


@pytest.mark.parametrize("packing", [True, False])
def test_by_sample_every_sample_weighs_the_same_however_long_its_response(
    packing: bool, base: Path, tmp_path: Path
) -> None:
    by_token = trainer_of(recipe(base, packing=packing), tmp_path)
    alone = []
    for example in EXAMPLES:
        alone.append(float(by_token.training_step(by_token.model, {"examples": [example]})))
    tokens = [len(example.response) for example in EXAMPLES]
    mean = sum(loss * count for loss, count in zip(alone, tokens, strict=True)) / sum(tokens)
    assert float(by_token.training_step(by_token.model, {"examples": EXAMPLES})) == pytest.approx(mean, abs=1e-5)
    assert by_token.evaluate()["eval_loss"] == pytest.approx(mean, abs=1e-5)

    by_sample = trainer_of(recipe(base, packing=packing, mixing={"loss_by": "sample"}), tmp_path)
    assert float(by_sample.training_step(by_sample.model, {"examples": EXAMPLES})) == pytest.approx(
        sum(alone) / 3, abs=1e-5
    )
    found = by_sample.evaluate()
    assert found["eval_loss"] == pytest.approx(sum(alone) / 3, abs=1e-5)
    assert found["eval_loss_PM"] == pytest.approx((alone[0] + alone[2]) / 2, abs=1e-5)


def test_by_sample_the_gradient_is_that_of_the_mean_over_samples(base: Path, tmp_path: Path) -> None:
    def gradients(examples: list[TokenisedExample], loss_by: str) -> dict[str, torch.Tensor]:
        trainer = trainer_of(recipe(base, mixing={"loss_by": loss_by}), tmp_path)
        trainer.training_step(trainer.model, {"examples": examples})
        return {name: weight.grad for name, weight in trainer.model.named_parameters()}

    together = gradients(EXAMPLES, "sample")
    alone = [gradients([example], "token") for example in EXAMPLES]
    for name, gradient in together.items():
        wanted = sum(one[name] for one in alone) / 3
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("lora", [False, True])
def test_frozen_layers_and_embeddings_stay_as_they_were(
    lora: bool, base: Path, tiny_data: Dataset, tmp_path: Path
) -> None:
    adapter = {"modules": ["q_proj", "down_proj"], "rank": 4} if lora else None
    chosen = recipe(base, lora=adapter, optimisation={"freeze_layers": 3, "freeze_embeddings": True})
    tune(chosen, tiny_data, tmp_path / "model")
    if lora:
        weights = load_file(tmp_path / "model" / "adapter_model.safetensors")
        moved = {name for name, weight in weights.items() if "lora_B" in name and weight.any()}
    else:
        before = load_file(base / "model.safetensors")
        weights = load_file(tmp_path / "model" / "model.safetensors")
        moved = {name for name, weight in weights.items() if not torch.equal(weight, before[name])}
        assert "model.norm.weight" in moved and "model.embed_tokens.weight" not in moved
    layers = {name.split("layers.")[1].split(".")[0] for name in moved if "layers." in name}
    assert layers == {"3"}


def test_no_gradient_passes_through_what_is_frozen(base: Path, tmp_path: Path) -> None:
    trainer = trainer_of(recipe(base, optimisation={"freeze_layers": 2, "freeze_embeddings": True}), tmp_path)
    needed: list[bool] = []
    for layer in trainer.model.model.layers:
        layer.register_forward_hook(lambda module, given, out: needed.append(out.requires_grad))
    trainer.training_step(trainer.model, {"examples": EXAMPLES})
    assert needed == [False, False, True, True]


def test_freezing_every_layer_is_refused(base: Path, tiny_data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match=r"freeze_layers is 4, and .* has 4 layers: freeze fewer"):
        tune(recipe(base, optimisation={"freeze_layers": 4}), tiny_data, tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("xs", "optimisation.freeze_layers=2", "optimisation.freeze_layers is for causal models."),
        ("flan-t5-xl", "optimisation.bf16_weights=true", "optimisation.bf16_weights is for causal models."),
        ("flan-t5-xl", "optimisation.freeze_embeddings=true", "freeze_embeddings is for XS and causal models."),
        ("xs", "mixing.loss_by=sample", "mixing.loss_by is for causal and encoder-decoder models."),
    ],
)
def test_a_key_of_another_family_is_one_sentence(name: str, change: str, message: str) -> None:
    with pytest.raises(EcellmError, match=message) as raised:
        read_recipe(name, [change])
    assert len(str(raised.value).splitlines()) == 1


def test_weights_in_bf16_give_nearly_the_same_loss_and_stay_in_bf16(base: Path, tmp_path: Path) -> None:
    losses = []
    for how in ({"precision": "fp32"}, {"precision": "bf16", "bf16_weights": True}):
        trainer = trainer_of(recipe(base, optimisation=how), tmp_path)
        losses.append(float(trainer.training_step(trainer.model, {"examples": EXAMPLES})))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert {weight.dtype for weight in trainer.model.parameters()} == {torch.bfloat16}
    # Where the processor does not compute in bf16, the key changes nothing.
    plain = trainer_of(recipe(base, optimisation={"precision": "fp32", "bf16_weights": True}), tmp_path)
    assert {weight.dtype for weight in plain.model.parameters()} == {torch.float32}


def test_steps_too_small_for_bf16_add_up_in_the_master_weights() -> None:
    weight = torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    optimizer = MasterAdamW([{"params": [weight], "weight_decay": 0.0}], 1e-4)
    for _ in range(100):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        optimizer.zero_grad()
    # Adam moves by the learning rate; next to 1, numbers in bf16 are a 256th apart.
    torch.testing.assert_close(weight.float(), torch.full((8,), 0.99), rtol=0, atol=1 / 256)


def test_master_weights_move_as_adamw_moves_fp32_weights() -> None:
    torch.manual_seed(0)
    start = torch.randn(16).bfloat16()
    plain, half = torch.nn.Parameter(start.float()), torch.nn.Parameter(start.clone())
    usual = torch.optim.AdamW([plain], lr=1e-2, weight_decay=0.1)
    ours = MasterAdamW([{"params": [half], "weight_decay": 0.1}], 1e-2)
    for _ in range(5):
        gradient = torch.randn(16).bfloat16()
        plain.grad, half.grad = gradient.float(), gradient
        usual.step()
        ours.step()
    torch.testing.assert_close(ours.masters[0].detach(), plain.detach())
    assert torch.equal(half, plain.bfloat16())


class PowerCutError(Exception):
    """The process ends here."""


def test_a_run_with_bf16_weights_cut_and_resumed_ends_with_the_same_weights(
    base: Path, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"precision": "bf16", "bf16_weights": True, "freeze_layers": 1, "freeze_embeddings": True}
    chosen = recipe(base, optimisation={**how, "learning_rate": 3e-4}, mixing={"loss_by": "sample"})
    tune(chosen, tiny_data, tmp_path / "whole")
    moved = Progress.on_step_end
    with monkeypatch.context() as patch:

        def cut(self: Progress, args: Any, state: Any, control: Any, **kept: Any) -> None:
            moved(self, args, state, control, **kept)
            if state.global_step == 7:
                self.bar.stop()
                raise PowerCutError

        patch.setattr(Progress, "on_step_end", cut)
        with pytest.raises(PowerCutError):
            tune(chosen, tiny_data, tmp_path / "cut")
    tune(chosen, tiny_data, tmp_path / "cut", resume=True)
    one, other = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "cut"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert {weight.dtype for weight in one.values()} == {torch.bfloat16}
