"""Tuning causal and encoder-decoder models: packing changes nothing, adapters are whole, runs resume."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.base import Request
from ecellm.models.folder import is_finished, read_info
from ecellm.models.load import identity, load_generator
from ecellm.models.transformers.base_models import adapter_base, base_hash
from ecellm.models.transformers.packed_attention import PACKED, attention_for, packed_attention
from ecellm.models.transformers.packing import TokenisedExample, packed_row, packs
from ecellm.models.transformers.trainer import LanguageTrainer
from ecellm.models.transformers.tuning import load_base, load_tokenizer, tokenised_examples
from ecellm.prompts import chat_template, render
from ecellm.training.preflight import Preflight
from ecellm.training.progress import Progress
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune
from tiny_models import CONFIGS, MODULES, save_tiny

Run = Callable[..., tuple[int, str, str]]
CAUSAL = [name for name in CONFIGS if name != "t5"]


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny random base of each architecture."""
    folder = tmp_path_factory.mktemp("bases")
    made = {name: save_tiny(name, folder / name, own_head=name == "t5") for name in CONFIGS}
    return {**made, "tied": save_tiny("qwen3", folder / "tied", tie_word_embeddings=True)}


def recipe(base: Path, name: str, lora: bool = True, **changes: Any) -> Recipe:
    optimisation = {
        "epochs": 2,
        "learning_rate": 1e-2,
        "batch_tokens": 1500,
        "examples": 8,
        "precision": "fp32",
        **changes.pop("optimisation", {}),
    }
    return Recipe.model_validate(
        {
            "name": name,
            "family": "encoder-decoder" if name == "t5" else "causal",
            "base": str(base),
            "template": "alpaca",
            "max_tokens": 400,
            "max_response_tokens": 60,
            "optimisation": optimisation,
            "lora": {"modules": MODULES.get(name, MODULES["qwen3"]), "rank": 4, "alpha": 4} if lora else None,
            "validation": {"per_epoch": 2, "rows": 6},
            **changes,
        }
    )


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(0, 100))
def test_every_sample_is_packed_once_and_only_a_longer_one_exceeds_the_row(lengths: list[int], capacity: int) -> None:
    rows = packs(lengths, capacity)
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
    assert all(sum(lengths[place] for place in row) <= capacity or len(row) == 1 for row in rows)


def test_a_packed_row_restarts_positions_and_looks_at_the_token_before_each_response() -> None:
    row = packed_row([TokenisedExample("a", "PM", [5, 6, 7], [8, 1]), TokenisedExample("b", "PM", [9], [3])])
    assert row.ids.tolist() == [[5, 6, 7, 8, 1, 9, 3]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 4, 0, 1]]
    assert (row.places.tolist(), row.targets.tolist(), row.owners.tolist()) == ([2, 3, 5], [8, 1, 3], [0, 0, 1])


def test_samples_are_filled_up_behind_their_own_tokens() -> None:
    row = packed_row(
        [TokenisedExample("a", "PM", [5, 6, 7], [8, 1]), TokenisedExample("b", "PM", [9, 2, 2], [3])], step=4
    )
    assert row.ids.tolist() == [[5, 6, 7, 8, 1, 0, 0, 0, 9, 2, 2, 3]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 4, 0, 0, 0, 0, 1, 2, 3]]
    assert (row.places.tolist(), row.targets.tolist()) == ([2, 3, 10], [8, 1, 3])
    assert (row.borders.tolist(), row.longest) == ([0, 8, 12], 8)


def taught(chosen: Recipe, data: Dataset, count: int = 8) -> list[TokenisedExample]:
    from rich.console import Console

    from ecellm.prompts import template_for

    tokenizer = load_tokenizer(chosen)
    rows = data.view("IND_Diverse_Instruction", "train")[:count]
    return tokenised_examples(rows, chosen, template_for(chosen.template, tokenizer), tokenizer, Console(quiet=True))


def step(chosen: Recipe, some: Sequence[TokenisedExample], folder: Path) -> tuple[float, dict[str, torch.Tensor]]:
    """One step's loss and gradients, dropout off."""
    torch.manual_seed(0)
    model = load_base(chosen, False)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    trainer = LanguageTrainer(model, chosen, some, [], folder, False, 0)
    loss = trainer.training_step(model, {"examples": list(some)})
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return float(loss), found


@pytest.mark.parametrize("name", CONFIGS)
def test_packing_and_accumulation_change_neither_loss_nor_gradients(
    name: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = recipe(bases[name], name, lora=False)
    some = taught(chosen, tiny_data)
    ways = [
        chosen,
        chosen.model_copy(update={"packing": False}),
        chosen.model_copy(update={"optimisation": chosen.optimisation.model_copy(update={"batch_tokens": 100_000})}),
        chosen.model_copy(update={"optimisation": chosen.optimisation.model_copy(update={"batch_tokens": 1})}),
    ]
    results = [step(way, some, tmp_path / str(number)) for number, way in enumerate(ways)]
    first_loss, first = results[0]
    for loss, gradients in results[1:]:
        assert loss == pytest.approx(first_loss, abs=1e-5)
        assert gradients.keys() == first.keys()
        for weight, gradient in gradients.items():
            torch.testing.assert_close(gradient, first[weight], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_loss_is_the_models_own_over_the_response_tokens(
    name: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = recipe(bases[name], name, lora=False)
    some = taught(chosen, tiny_data, 3)
    model = AutoModelForCausalLM.from_pretrained(bases[name]).eval()
    losses = []
    for one in some:
        ids = torch.tensor([[*one.prompt, *one.response]])
        logs = model(ids).logits[0, len(one.prompt) - 1 : -1].log_softmax(-1)
        losses += (-logs[range(len(one.response)), one.response]).tolist()
    assert step(chosen, some, tmp_path)[0] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapter_is_tuned_saved_without_the_base_and_asked(
    name: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    tune(recipe(bases[name], name), tiny_data, out)
    info = read_info(out)
    assert info.recipe.lora is not None and info.recipe.lora.rank == 4
    assert info.template is not None and "### Response:" in info.template.prompt_input
    with safe_open(out / "adapter_model.safetensors", "pt") as weights:
        names = list(weights.keys())
    assert names and all("lora_" in one for one in names)
    assert info.base_hash == base_hash(str(bases[name]), None)
    for module in MODULES[name]:
        assert any(f".{module}." in one for one in names), module
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    losses = [row["eval_loss"] for row in log if "eval_loss" in row]
    assert losses[-1] < losses[0]
    generator = load_generator(out)
    rows = tiny_data.view("IND_Diverse_Instruction", "test")[:6]
    prompts = generator.prompts(rows)
    replies = generator.reply([Request(one, prompt) for one, prompt in zip(rows, prompts, strict=True)])
    assert len(replies) == 6 and all(reply.text is not None for reply in replies)


def test_an_adapter_keeps_the_commit_of_its_base_at_the_hub(
    bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the hub's cache of this machine, whose newest commit changes after tuning: the old one is asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    kept, out = tmp_path / "hub" / "models--shop--base", tmp_path / "model"
    shutil.copytree(bases["llama"], kept / "snapshots" / ("a" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("a" * 40)
    tune(recipe(Path("shop/base"), "llama"), tiny_data, out)
    assert adapter_base(out) == ("shop/base", "a" * 40)
    assert read_info(out).base_hash == f"shop/base@{'a' * 40}"
    before = identity(out)
    (kept / "refs" / "main").write_text("b" * 40)
    load_generator(out)
    assert identity(out) == before


def test_whole_weights_are_tuned_where_the_recipe_has_no_lora(
    bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    tune(recipe(bases["llama"], "llama", lora=False), tiny_data, tmp_path / "model")
    before, after = (
        load_file(bases["llama"] / "model.safetensors"),
        load_file(tmp_path / "model" / "model.safetensors"),
    )
    assert all(not torch.equal(before[name], after[name]) for name in before if "proj" in name)


class PowerCutError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("name", ["llama", pytest.param("t5", marks=pytest.mark.slow)])
def test_a_run_cut_in_the_middle_of_an_epoch_and_resumed_ends_with_the_same_adapter(
    name: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(bases[name], name)
    tune(chosen, tiny_data, tmp_path / "whole")
    whole_step = Progress.on_step_end
    with monkeypatch.context() as patch:

        def cut(self: Progress, args: Any, state: Any, control: Any, **kept: Any) -> None:
            whole_step(self, args, state, control, **kept)
            if state.global_step == 7:
                self.bar.stop()
                raise PowerCutError

        patch.setattr(Progress, "on_step_end", cut)
        with pytest.raises(PowerCutError):
            tune(chosen, tiny_data, tmp_path / "cut")
    assert not is_finished(tmp_path / "cut")
    tune(chosen, tiny_data, tmp_path / "cut", resume=True)
    one, other = (load_file(tmp_path / run / "adapter_model.safetensors") for run in ("whole", "cut"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_resuming_with_another_dataset_or_recipe_is_refused(
    bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = recipe(bases["llama"], "llama")
    record = {"recipe": chosen.model_dump(mode="json"), "dataset": "another", "tasks": None}
    (tmp_path / "run.json").write_text(json.dumps({**record, "setting": "IND_Diverse_Instruction", "limit": None}))
    with pytest.raises(EcellmError, match="was begun with another dataset"):
        tune(chosen, tiny_data, tmp_path, resume=True)
    with pytest.raises(EcellmError, match="was begun with another recipe, dataset"):
        tune(recipe(bases["llama"], "llama", max_tokens=390), tiny_data, tmp_path, resume=True)


def test_a_step_without_anything_to_learn_stops_with_the_samples(
    bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = recipe(bases["llama"], "llama", lora=False)
    model = load_base(chosen, False)
    masked = [replace(one, response=[]) for one in taught(chosen, tiny_data, 3)]
    trainer = LanguageTrainer(model, chosen, masked, [], tmp_path, False, 0)
    with pytest.raises(EcellmError, match=f"Step 1 has no response token: {masked[0].id}"):
        trainer.training_step(model, {"examples": masked})


def test_a_tuned_model_has_a_log_a_picture_of_its_losses_and_a_card_that_takes_scores(
    bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "model"
    tune(recipe(bases["llama"], "llama"), tiny_data, out)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    trained = [row for row in log if "loss" in row]
    wanted = {"step", "loss", "learning_rate", "grad_norm", "tokens_per_second", "peak_memory_gib"}
    assert trained and all(wanted <= row.keys() and row["grad_norm"] > 0 for row in trained)
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    card = (out / "README.md").read_text()
    assert "library_name: peft" in card and f"`{tiny_data.hash()}`" in card and "![Loss by step](loss.png)" in card
    assert "## Scores" not in card
    row = {"task": "PM", "setting": "IND_Diverse_Instruction", "scoring": "strict", "metric": "f1", "main": True}
    row |= {"value": 0.5, "low": 0.4, "high": 0.6, "floor": 0.3, "n": 8}
    (tmp_path / "scores.json").write_text(json.dumps({"scores": [row], "dataset": "d"}))
    assert run("card", out, "--scores", tmp_path / "scores.json")[0] == 0
    assert (
        "| PM | IND_Diverse_Instruction | f1 | 0.500 (0.400 to 0.600) | 0.300 | 8 |"
        in (out / "README.md").read_text()
    )
    (tmp_path / "scores.json").write_text(json.dumps({"scores": [row], "dataset": "d", "model": "another"}))
    before = (out / "README.md").read_text()
    code, _, output = run("card", out, "--scores", tmp_path / "scores.json")
    assert code == 1 and "has the scores of another model" in output and (out / "README.md").read_text() == before
    own = {"scores": [row], "dataset": "e", "model": identity(out)["model"]}
    (tmp_path / "scores.json").write_text(json.dumps(own))
    assert run("card", out, "--scores", tmp_path / "scores.json")[0] == 0
    assert "test rows of the dataset `e`" in (out / "README.md").read_text()
    (tmp_path / "scores.json").write_text("[]")
    code, _, output = run("card", out, "--scores", tmp_path / "scores.json")
    assert code == 1 and "not those of `ecellm evaluate`" in output
    assert run("card", tiny_data.path, "--scores", tmp_path / "scores.json")[0] == 1


def test_an_adapters_folder_is_what_peft_loads(bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "model"
    tune(recipe(bases["mistral"], "mistral", optimisation={"epochs": 1}), tiny_data, out)
    loaded = AutoPeftModelForCausalLM.from_pretrained(out).eval()
    base = AutoModelForCausalLM.from_pretrained(bases["mistral"]).eval()
    ids = torch.tensor([[2, 40, 50, 60]])
    with torch.inference_mode():
        assert not torch.equal(loaded(ids).logits, base(ids).logits)


def test_attention_is_sample_by_sample_on_a_cpu_and_what_needs_a_gpu_says_so() -> None:
    assert attention_for("auto") == PACKED and attention_for("sdpa") == "sdpa"
    with pytest.raises(EcellmError, match="pip install flash-attn"):
        attention_for("flash_attention_2")
    with pytest.raises(EcellmError, match="flex_attention needs a GPU"):
        attention_for("flex_attention")


@pytest.mark.parametrize("name", CAUSAL)
def test_torchs_masked_attention_gives_the_same_loss(
    name: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = recipe(bases[name], name, lora=False)
    masked = recipe(bases[name], name, lora=False, optimisation={"attention": "sdpa"})
    some = taught(chosen, tiny_data)
    (ours, first), (theirs, second) = step(chosen, some, tmp_path / "a"), step(masked, some, tmp_path / "b")
    assert ours == pytest.approx(theirs, abs=1e-5)
    for weight, gradient in first.items():
        torch.testing.assert_close(gradient, second[weight], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_bf16_is_what_a_cpu_computes_in_with_nearly_the_same_losses(
    name: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = recipe(bases[name], name, lora=False)
    some = taught(chosen, tiny_data)
    losses = []
    for use_bf16 in (False, True):
        model = load_base(chosen, False)
        scores: list[torch.dtype] = []
        model.get_output_embeddings().register_forward_hook(lambda *call, seen=scores: seen.append(call[-1].dtype))
        trainer = LanguageTrainer(model, chosen, some, some, tmp_path / str(use_bf16), use_bf16, 0)
        trained = float(trainer.training_step(model, {"examples": some}))
        losses.append((trained, trainer.evaluate()["eval_loss"]))
        assert set(scores) == {torch.bfloat16 if use_bf16 else torch.float32}
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_base_whose_scores_are_capped_is_refused_by_our_attention() -> None:
    row = torch.zeros(1, 1, 2, 4)
    with pytest.raises(EcellmError, match="attention=eager"):
        packed_attention(torch.nn.Identity(), row, row, row, None, cu_seq_lens_q=torch.tensor([0, 2]), softcap=50.0)


def test_the_chat_template_is_the_tokenizers_own_and_its_special_tokens_stand_once(
    bases: dict[str, Path], tiny_data: Dataset
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bases["llama"])
    for question in tiny_data.view("IND_Diverse_Instruction", "train")[:6]:
        example = question.example
        content = "\n\n".join([question.instruction, example.input, *([example.options] if example.options else [])])
        message = [{"role": "user", "content": content}]
        wanted = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        prompt = render(question, chat_template(tokenizer), tokenizer, 4_000)
        assert prompt.text == wanted
        assert prompt.ids.count(tokenizer.bos_token_id) == 1
    tokenizer.chat_template = None
    with pytest.raises(EcellmError, match="has no chat template: set template to alpaca"):
        chat_template(tokenizer)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"lora": {"modules": ["q_proj", "v_prj"]}}, "names 'v_prj', which the base has not.*'v_proj'"),
        ("tied", {}, "names lm_head, whose weights are the embeddings' in this base"),
        ("llama", {"family": "encoder-decoder"}, "is causal, not encoder-decoder"),
        ("llama", {"base": "/nowhere/model"}, "is no model's folder and cannot be had from the hub"),
        ("llama", {"lora": {"modules": ["q_proj"], "quantised": True}}, r"pip install 'ecellm\[qlora\]'"),
    ],
)
def test_a_mistake_is_one_sentence(
    name: str, changes: dict[str, Any], message: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = Recipe.model_validate({**recipe(bases[name], name).model_dump(), **changes})
    with pytest.raises(EcellmError, match=message) as raised:
        tune(chosen, tiny_data, tmp_path / "model")
    assert len(str(raised.value).splitlines()) == 1


def test_a_loss_that_is_no_number_names_the_sample(
    bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path
) -> None:
    chosen = recipe(bases["llama"], "llama", lora=False, optimisation={"learning_rate": 1e30, "clip": 1e30})
    with pytest.raises(EcellmError, match=r"not a number at step \d+ \(\w+-IND-"):
        tune(chosen, tiny_data, tmp_path / "model")


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path) -> None:
    chosen = recipe(bases["llama"], "llama", optimisation={"batch_tokens": 600}, lora=False)
    (tmp_path / "tiny.toml").write_text(
        f"""
name = "tiny"
family = "causal"
base = "{chosen.base}"
template = "alpaca"
max_tokens = 400
max_response_tokens = 60
[optimisation]
epochs = 2
learning_rate = 1e-2
batch_tokens = 600
examples = 8
precision = "fp32"
[validation]
per_epoch = 3
rows = 6
"""
    )
    given = ["tune", tmp_path / "tiny.toml", "--data", tiny_data.path, "--out"]
    alone = [sys.executable, "-m", "ecellm", *given, tmp_path / "one"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ecellm"]
    together = [sys.executable, *launcher, *given, tmp_path / "two", "--show-samples", "2"]
    found = {}
    for name, line in (("one", alone), ("two", together)):
        done = subprocess.run([str(part) for part in line], capture_output=True, text=True, check=False)
        # What counts is what was written: a process group on CPUs may end with an abort after that.
        assert is_finished(tmp_path / name), done.stderr[-2000:]
        log = [json.loads(row) for row in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        found[name] = [row[key] for row in log for key in ("loss", "eval_loss") if key in row]
        shown = [len(row["samples"]) for row in log if "samples" in row]
        assert shown == ([2] * len([row for row in log if "eval_loss" in row]) if name == "two" else [])
    assert len(found["one"]) > 4
    assert found["two"] == pytest.approx(found["one"], rel=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_merged_model_is_whole_and_says_what_base_and_adapter_said(
    name: str, bases: dict[str, Path], tiny_data: Dataset, tmp_path: Path, run: Run
) -> None:
    tune(recipe(bases[name], name, optimisation={"epochs": 1}), tiny_data, tmp_path / "adapter")
    code, output, _ = run("merge", tmp_path / "adapter", "--out", tmp_path / "whole")
    assert code == 0 and "differ by at most" in output
    plain = type(load_base(recipe(bases[name], name), False)).from_pretrained(tmp_path / "whole").eval()
    peft = PeftModel.from_pretrained(load_base(recipe(bases[name], name), False), tmp_path / "adapter").eval()
    ids = torch.tensor([[2, 40, 50, 60]])
    more = {"decoder_input_ids": ids} if name == "t5" else {}
    with torch.inference_mode():
        torch.testing.assert_close(plain(ids, **more).logits, peft(ids, **more).logits, rtol=1e-3, atol=1e-4)
    rows = tiny_data.view("IND_Diverse_Instruction", "test")[:3]
    texts = []
    for folder in (tmp_path / "adapter", tmp_path / "whole"):
        generator = load_generator(folder)
        prompts = generator.prompts(rows)
        questions = [Request(one, prompt) for one, prompt in zip(rows, prompts, strict=True)]
        texts.append([reply.text for reply in generator.reply(questions)])
    assert texts[0] == texts[1]
    code, _, error = run("merge", tmp_path / "whole", "--out", tmp_path / "again")
    assert code == 1 and "is no adapter" in error and not (tmp_path / "again").exists()


def test_a_recipes_samples_are_shown_token_by_token_with_what_was_cut(
    bases: dict[str, Path], tiny_data: Dataset, run: Run
) -> None:
    given = ("show", tiny_data.path, "--recipe", "m", "--limit", 6, "--set", f"base={bases['mistral']}")
    code, output, _ = run(*given)
    assert code == 0 and output.count(" tokens read, ") == 6 and "[INST]" in output and "[...]" not in output
    whole = run(*given, "--tasks", "PM", "--limit", 1)[1]
    room = int(whole.split(" tokens read")[0].split()[-1]) - 9
    code, output, _ = run(*given, "--tasks", "PM", "--limit", 1, "--set", f"max_tokens={room}")
    assert code == 0 and "truncated: tokens truncated: " in output and "[...]" in output
    assert run("show", tiny_data.path, "--recipe", "xs", "--limit", 6)[0] == 0


@pytest.mark.parametrize("name", ["llama", "t5", "xs"])
def test_a_check_says_what_a_run_takes_and_writes_nothing(
    name: str, bases: dict[str, Path], tiny_base: Path, tiny_data: Dataset, tmp_path: Path, run: Run
) -> None:
    base = tiny_base if name == "xs" else bases[name]
    shipped = {"llama": "l", "t5": "flan-t5-xl", "xs": "xs"}[name]
    modules = ["lora.modules=['q', 'v', 'wi']"] if name == "t5" else []
    changes = [f"base={base}", "optimisation.precision=fp32", "max_tokens=500", "optimisation.epochs=2", *modules]
    given = [part for change in changes for part in ("--set", change)]
    code, output, error = run("tune", shipped, "--data", tiny_data.path, "--out", tmp_path / "out", "--check", *given)
    assert code == 0, error
    lines = dict(line.split(maxsplit=1) for line in output.splitlines())
    rows = len(tiny_data.view("IND_Diverse_Instruction", "train"))
    assert lines["examples"] == str(rows)
    assert int(lines["trained"].split()[0].replace(",", "")) <= int(lines["parameters"].replace(",", ""))
    if name != "xs":
        assert lines["steps"] == "2" and "%" in lines["trained"] and "100.0%" not in lines["trained"]
    assert lines["time"].endswith(("min", "h")) and "GiB of" in lines["memory"]
    assert not (tmp_path / "out").exists()


def test_p5_is_a_t5_tuned_whole_on_one_task(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    base = save_tiny("t5", tmp_path / "base")
    model, out = tmp_path / "model", tmp_path / "out.jsonl"
    data = ("--data", tiny_data.path, "--tasks", "SA")
    changes = ("--set", f"base={base}", "--set", "optimisation.epochs=1")
    assert run("tune", "p5", *data, "--out", model, *changes)[0] == 0
    assert not (model / "adapter_model.safetensors").exists() and (model / "model.safetensors").exists()
    code, _, error = run("predict", model, *data, "--out", out, "--setting", "IND_Unseen_Instruction")
    assert code == 0, error
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert answers and all(answer["answer"] in [*"ABCDE"] for answer in answers)


def test_a_run_that_does_not_fit_is_refused() -> None:
    tight = Preflight(10, 5, 1, 1, 1.0, 3 << 30, 2 << 30, "a device")
    with pytest.raises(EcellmError, match=r"needs about 3\.0 GiB, and a device has 2\.0: lower optimisation"):
        tight.refuse()
    replace(tight, available=4 << 30).refuse()
