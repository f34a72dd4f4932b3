"""A tuned model as a GGUF file: its answers and its prompt layout are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jinja2 import Template as Jinja
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.folder import RecipeInfo
from ecellm.models.transformers.gguf_reading import converted
from ecellm.models.transformers.gguf_writing import around_message, chat_form, modelfile
from ecellm.models.transformers.pretrained import load_model
from ecellm.prompts import TEMPLATES, Template, render
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune
from model_folders import describe
from tiny_models import save_tiny

Run = Callable[..., tuple[int, str, str]]
TEXTS = ["a blue steel mug: 12.99, yes or no?", "  2 mugs\n\n  5 stars"]
RECIPE = {"name": "tiny", "family": "causal", "max_tokens": 300, "max_response_tokens": 40}
DESCRIBED = RecipeInfo.model_validate(RECIPE)


def tuned(kind: str, folder: Path, template: Template = TEMPLATES["alpaca"], **changes: Any) -> Path:
    """A base in the form of a tuned model."""
    model = save_tiny(kind, folder, **changes)
    describe(model, {"recipe": RECIPE, "template": template.model_dump()})
    return model


@pytest.mark.parametrize("kind", ["llama", "mistral"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_file_says_what_the_model_says(kind: str, tied: bool, tmp_path: Path, run: Run) -> None:
    model = tuned(kind, tmp_path / "model", tie_word_embeddings=tied, sliding_window=None)
    code, output, error = run("merge", model, "--out", tmp_path / "out", "--gguf", "--precision", "f32")
    assert code == 0 and "GGUF file and Modelfile written" in output, error
    back = converted(tmp_path / "out" / "model.gguf")
    before, after = (AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval() for path in (model, back))
    known, tokenizer = AutoTokenizer.from_pretrained(model), AutoTokenizer.from_pretrained(back)
    for text in TEXTS:
        ids = known(text).input_ids
        assert tokenizer(text).input_ids == ids
        with torch.inference_mode():
            assert torch.equal(before(torch.tensor([ids])).logits, after(torch.tensor([ids])).logits)


@pytest.mark.parametrize(("precision", "most"), [("f16", 1e-3), ("bf16", 1e-2), ("q8_0", 2e-2)])
def test_matrices_are_written_in_the_precision_that_is_asked_for(
    precision: str, most: float, tmp_path: Path, run: Run
) -> None:
    model = tuned("llama", tmp_path / "model")
    assert run("merge", model, "--out", tmp_path / "out", "--gguf", "--precision", precision)[0] == 0
    back = converted(tmp_path / "out" / "model.gguf")
    before, after = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (model, back))
    for name, weight in before.items():
        apart = (after[name].float() - weight).abs().max() / weight.abs().max()
        assert apart <= most and (apart > 0 or weight.ndim == 1), name


def test_an_adapter_is_merged_on_the_way(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    base = save_tiny("llama", tmp_path / "base")
    recipe = Recipe.model_validate(
        {
            **RECIPE,
            "base": str(base),
            "template": "chat",
            "max_tokens": 400,
            "optimisation": {"epochs": 1, "learning_rate": 1e-2, "examples": 8, "precision": "fp32"},
            "lora": {"modules": ["q_proj", "k_proj", "lm_head"]},
            "validation": {"calibrate": False},
        }
    )
    tune(recipe, tiny_data, tmp_path / "adapter")
    assert run("merge", tmp_path / "adapter", "--out", tmp_path / "out", "--gguf", "--precision", "f32")[0] == 0
    after = AutoModelForCausalLM.from_pretrained(converted(tmp_path / "out" / "model.gguf"), dtype="auto").eval()
    ids = torch.tensor([[2, 40, 50, 60]])
    with torch.inference_mode():
        wanted = load_model(tmp_path / "adapter", torch.float32)(ids).logits
        torch.testing.assert_close(after(ids).logits, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["alpaca", "mistral", "chatml", "compact", "ecomgpt"])
def test_the_chat_template_of_one_message_is_the_prompt_that_the_model_was_tuned_with(
    name: str, tiny_data: Dataset, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(save_tiny("llama", tmp_path))
    before, after = around_message(TEMPLATES[name])
    form = Jinja(chat_form(before, after, "</s>"))
    for question in tiny_data.view("IND_Diverse_Instruction", "test")[:6]:
        prompt = render(question, TEMPLATES[name], tokenizer, 4_000).text
        message = prompt[len(before) : len(prompt) - len(after)]
        assert question.example.input in message and prompt == before + message + after
        assert form.render(messages=[{"role": "user", "content": message}]) == prompt
        talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        assert form.render(messages=talk) == f"{before}a{after}b</s>"
        assert f'TEMPLATE """{before}{{{{ .Prompt }}}}{after}"""' in modelfile(before, after, "</s>", DESCRIBED)


def test_the_modelfile_names_the_file_and_ends_answers_where_the_model_does(tmp_path: Path, run: Run) -> None:
    model = tuned("llama", tmp_path / "model", TEMPLATES["chatml"])
    assert run("merge", model, "--out", tmp_path / "out", "--gguf")[0] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.gguf", "Modelfile"}
    text = (tmp_path / "out" / "Modelfile").read_text()
    for line in ("FROM ./model.gguf", 'PARAMETER stop "</s>"', "PARAMETER num_ctx 340", "PARAMETER num_predict 40"):
        assert line in text.splitlines()
    tokenizer = AutoTokenizer.from_pretrained(converted(tmp_path / "out" / "model.gguf"))
    message = [{"role": "user", "content": "hi"}]
    text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer("hi").input_ids[0] != tokenizer.bos_token_id, "the layout has its own beginning"


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("qwen3", {}, "GGUF is written of llama and mistral models, not of qwen3"),
        ("mistral", {}, "not written of a model with a sliding window"),
        ("llama", {"hidden_act": "gelu"}, "an activation other than SiLU"),
    ],
)
def test_another_architecture_is_one_sentence(
    kind: str, changes: dict[str, Any], message: str, tmp_path: Path, run: Run
) -> None:
    model = tuned(kind, tmp_path / "model", **changes)
    code, _, error = run("merge", model, "--out", tmp_path / "out", "--gguf")
    assert code == 1 and message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_layout_that_gguf_cannot_hold_is_one_sentence(tmp_path: Path, run: Run) -> None:
    odd = Template(prompt_input="A {instruction} {input} {options}", prompt_no_options="B {instruction} {input}",
                   response_split="")  # fmt: skip
    model = tuned("llama", tmp_path / "model", odd)
    code, _, error = run("merge", model, "--out", tmp_path / "out", "--gguf")
    assert code == 1 and "begins or ends otherwise with options than without" in error
    with pytest.raises(EcellmError, match="which a Modelfile cannot hold"):
        modelfile("{{ }}", "", "</s>", DESCRIBED)


def test_a_tokenizer_that_splits_text_otherwise_is_one_sentence(tmp_path: Path, run: Run) -> None:
    from tokenizers import pre_tokenizers

    model = tuned("llama", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save_pretrained(model)
    code, _, error = run("merge", model, "--out", tmp_path / "out", "--gguf")
    assert code == 1 and "tokenizer is not a byte-level one" in error and not (tmp_path / "out").exists()


def test_what_is_no_causal_model_is_one_sentence(tmp_path: Path, run: Run) -> None:
    describe(tmp_path, {"recipe": {"family": "xs"}})
    code, _, error = run("merge", tmp_path, "--out", tmp_path / "out", "--gguf")
    assert code == 1 and "GGUF is written of causal models" in error
