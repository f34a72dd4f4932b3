"""llama.cpp on the files that we write and on the one that we read: the same tokens, scores and answers."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from ecellm.data.dataset import Dataset
from ecellm.errors import ModelError
from ecellm.models.base import Decoding, Request
from ecellm.models.load import load_generator
from ecellm.models.transformers.pretrained import load_pretrained
from ecellm.models.transformers.smollm2 import smollm2_file
from ecellm.prompts import TEMPLATES
from model_folders import describe
from tiny_models import save_tiny

Run = Callable[..., tuple[int, str, str]]
TEXTS = [
    "<|im_start|>user\nIs  12.99 the price of 2 mugs?<|im_end|>\n<|im_start|>assistant\n",
    "  5 stars:\t1,000   reviews.\n\n  Ünï—code 3½ ²  [it's] I'll",
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def llama_cpp() -> Any:
    try:
        import llama_cpp
    except ImportError:
        if "CI" in os.environ:
            raise
        pytest.skip("llama-cpp-python is not installed (make llama-cpp)")
    return llama_cpp


@contextmanager
def opened(llama_cpp: Any, file: Path) -> Iterator[Any]:
    with closing(llama_cpp.Llama(str(file), n_ctx=1024, n_threads=1, logits_all=True, verbose=False)) as model:
        yield model


def scores(model: Any, ids: list[int]) -> Any:
    model.reset()
    model.eval(ids)
    return np.array(model.scores[: len(ids)])


@pytest.mark.parametrize("tied", [True, False])
def test_a_tiny_models_file_has_our_tokens_and_scores(llama_cpp: Any, tied: bool, tmp_path: Path, run: Run) -> None:
    model = save_tiny("llama", tmp_path / "model", tie_word_embeddings=tied)
    recipe = {"name": "tiny", "family": "causal", "max_tokens": 300, "max_response_tokens": 40}
    describe(model, {"recipe": recipe, "template": TEMPLATES["alpaca"].model_dump()})
    assert run("merge", model, "--out", tmp_path / "out", "--gguf", "--precision", "f32")[0] == 0
    with opened(llama_cpp, tmp_path / "out" / "model.gguf") as theirs:
        tokenizer = AutoTokenizer.from_pretrained(model)
        ours = load_pretrained(str(model), None, torch.float32).eval()
        for text in TEXTS:
            ids = tokenizer(text).input_ids
            assert theirs.tokenize(text.encode(), add_bos=True, special=True) == ids
            with torch.inference_mode():
                wanted = ours(torch.tensor([ids])).logits[0].numpy()
            np.testing.assert_allclose(scores(theirs, ids), wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 in the form of a tuned model."""
    from ecellm.models.transformers.base_models import base_location

    try:
        base = Path(base_location("smollm2-135m"))
    except ModelError:
        if "CI" in os.environ:
            raise
        pytest.skip("SmolLM2 is not installed (make smollm2)")
    folder = tmp_path_factory.mktemp("model")
    for file in base.iterdir():
        (folder / file.name).symlink_to(file)
    recipe = {"name": "smollm2", "family": "causal", "max_tokens": 700, "max_response_tokens": 40}
    describe(folder, {"recipe": recipe, "template": TEMPLATES["chatml"].model_dump()})
    return folder


def test_smollm2_is_read_as_llama_cpp_reads_it(llama_cpp: Any, model: Path) -> None:
    """Its weights are in four bits; what differs is rounding, theirs of activations and ours to bf16."""
    with opened(llama_cpp, smollm2_file()) as theirs:
        tokenizer = AutoTokenizer.from_pretrained(model)
        ours = load_pretrained(str(model), None, torch.float32).eval()
        for text in TEXTS:
            ids = tokenizer(text).input_ids
            assert theirs.tokenize(text.encode(), add_bos=False, special=True) == ids
            with torch.inference_mode():
                wanted = ours(torch.tensor([ids])).logits[0].numpy()
            found = scores(theirs, ids)
            rounding = np.abs(found - wanted).mean()
            assert rounding < 0.02 * np.abs(wanted).max()
            # Which of two near tokens leads depends on the processor that llama.cpp was built for.
            second, first = np.sort(wanted, 1)[:, -2:].T
            clear = first - second > 4 * rounding
            assert clear.mean() > 0.3
            assert (found.argmax(1) == wanted.argmax(1))[clear].all()


def test_smollm2s_file_gives_the_answers_that_we_give(
    llama_cpp: Any, model: Path, tiny_data: Dataset, tmp_path: Path, run: Run
) -> None:
    assert run("merge", model, "--out", tmp_path / "out", "--gguf", "--precision", "f32")[0] == 0
    with opened(llama_cpp, tmp_path / "out" / "model.gguf") as theirs:
        generator = load_generator(model, Decoding(free=True, max_new_tokens=12))
        questions = tiny_data.view("IND_Diverse_Instruction", "test", ["PM", "SA", "AG"])[:6]
        prompts = generator.prompts(questions)
        replies = generator.reply([Request(one, prompt) for one, prompt in zip(questions, prompts, strict=True)])
        before = len("<|im_start|>user\n")
        after = len("<|im_end|>\n<|im_start|>assistant\n")
        for prompt, reply in zip(prompts, replies, strict=True):
            assert theirs.tokenize(prompt.text.encode(), add_bos=False, special=True) == prompt.ids
            message = {"role": "user", "content": prompt.text[before : len(prompt.text) - after]}
            completion = theirs.create_chat_completion([message], max_tokens=12, temperature=0.0)
            assert completion["usage"]["prompt_tokens"] == len(prompt.ids), (
                "the file's chat template is the model's layout"
            )
            if not reply.near_tie:
                assert completion["choices"][0]["message"]["content"].strip() == reply.text
