"""Weights that are missing, cut short, a pointer of Git LFS or of another model: one sentence that names the file,
for every family; and the base of an adapter, which belongs to what identifies it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ecellm.data.dataset import read_dataset
from ecellm.errors import ModelError
from ecellm.evaluation.bertscore import BertScorer
from ecellm.models.baselines.base import Choices
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.baselines.progress import Fitting
from ecellm.models.baselines.text_encoder import load_encoder
from ecellm.models.load import identity, load_generator
from ecellm.models.transformers.base_models import ADAPTER, base_hash
from ecellm.models.transformers.merging import export_gguf, merge
from ecellm.models.transformers.tuning import load_base
from ecellm.models.xs.model import warm_start
from ecellm.prompts import TEMPLATES
from ecellm.training.recipe import read_recipe
from model_folders import describe
from shop_rows import write_dataset
from tiny_models import save_tiny

INFO = {"recipe": {"family": "causal"}, "template": TEMPLATES["alpaca"].model_dump()}
WHOLE, LORA = "model.safetensors", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, and an adapter on it that says nothing of its base's weights."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny("llama", folder / "base", max_position_embeddings=2048)
    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    adapted: Any = get_peft_model(model, LoraConfig(target_modules=["q_proj"], r=4, task_type="CAUSAL_LM"))
    adapted.save_pretrained(folder / "adapter")
    for file in (folder / "base").glob("*token*"):
        shutil.copy(file, folder / "adapter")
    describe(folder / "adapter", INFO)
    return folder


@pytest.fixture
def base(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "base", tmp_path / "base"))


@pytest.fixture
def adapter(made: Path, base: Path) -> Path:
    """The adapter, on the copy of the base."""
    folder = Path(shutil.copytree(made / "adapter", base.parent / "adapter"))
    rewrite(folder, base_model_name_or_path=str(base))
    return folder


def rewrite(adapter: Path, **values: object) -> None:
    config = json.loads((adapter / ADAPTER).read_text())
    (adapter / ADAPTER).write_text(json.dumps({**config, **values}))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1f0\nsize 269060552\n")


def empty(file: Path) -> None:
    file.write_bytes(b"")


BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (Path.unlink, "{folder} has no weights"),
    (cut, "{file} is damaged or cut short"),
    (empty, "{file} is damaged or cut short"),
    (pointer, "{file} is a pointer of Git LFS, not weights: fetch them with `git lfs pull`"),
]
broken = pytest.mark.parametrize(("spoil", "message"), BROKEN, ids=["missing", "cut", "empty", "pointer"])


def refuses(file: Path, message: str, *uses: Callable[[], object]) -> None:
    """Each use raises a ModelError of one line with the message."""
    for use in uses:
        with pytest.raises(ModelError) as raised:
            use()
        assert message.format(file=file, folder=file.parent) in str(raised.value)
        assert "\n" not in str(raised.value)


@broken
def test_a_base_whose_weights_cannot_be_read(base: Path, spoil: Callable[[Path], None], message: str) -> None:
    recipe = read_recipe("smollm2-135m", [f"base={base}"])
    spoil(base / WHOLE)
    refuses(base / WHOLE, message, lambda: load_generator(base), lambda: load_base(recipe, False))


@broken
def test_a_tuned_model_whose_weights_cannot_be_read(base: Path, spoil: Callable[[Path], None], message: str) -> None:
    describe(base, INFO)
    spoil(base / WHOLE)
    gguf = base.parent / "gguf"
    refuses(base / WHOLE, message, lambda: load_generator(base), lambda: export_gguf(base, gguf, "f16"))


@broken
@pytest.mark.parametrize("which", [WHOLE, LORA])
def test_an_adapter_or_its_base_whose_weights_cannot_be_read(
    adapter: Path, base: Path, which: str, spoil: Callable[[Path], None], message: str
) -> None:
    file = (base if which == WHOLE else adapter) / which
    spoil(file)
    out = adapter.parent / "merged"
    refuses(file, message, lambda: load_generator(adapter), lambda: merge(adapter, out, lambda *loaded: None))
    assert not out.exists()


@broken
def test_an_encoder_whose_weights_cannot_be_read(
    tiny_base: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    """As the base of XS, of a baseline, and as BERTScore's model."""
    folder = Path(shutil.copytree(tiny_base, tmp_path / "encoder"))
    spoil(folder / WHOLE)
    uses = [lambda: load_encoder(str(folder)), lambda: BertScorer(str(folder), 1).score([("a mug", "a cup")])]
    refuses(folder / WHOLE, message, *uses)
    if spoil is Path.unlink:
        message = "{file} cannot be read as weights: no such file or directory"
    refuses(folder / WHOLE, message, lambda: warm_start(folder))


def test_weights_of_another_model_or_a_missing_part_of_them(base: Path, adapter: Path) -> None:
    weights = load_file(base / WHOLE)
    save_file(
        {name: weight[..., :8].contiguous() for name, weight in weights.items()}, base / WHOLE, {"format": "pt"}
    )
    refuses(base / WHOLE, "The weights of {folder} are not those of its config.json", lambda: load_generator(adapter))
    save_tiny("llama", base, hidden_size=64, max_position_embeddings=2048)
    refuses(adapter / LORA, "The adapter {folder} does not fit its base", lambda: load_generator(adapter))
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    refuses(base / WHOLE, "{folder} lacks model-00002-of-00002.safetensors", lambda: load_generator(base))


def test_other_files_of_a_model_that_cannot_be_read(adapter: Path, base: Path) -> None:
    for content in ("{", "{}", "[]"):
        (adapter / ADAPTER).write_text(content)
        refuses(adapter / ADAPTER, "{file} is not an adapter's configuration", lambda: load_generator(adapter))
    (adapter / ADAPTER).write_text('{"base_model_name_or_path": null}')
    refuses(adapter / ADAPTER, "{file} names no base", lambda: load_generator(adapter), lambda: identity(adapter))
    describe(base, INFO)
    (base / "config.json").unlink()
    refuses(base / WHOLE, "{folder} is no model that transformers reads", lambda: load_generator(base))
    for file in base.glob("token*"):
        file.unlink()
    refuses(base / WHOLE, "{folder} has no tokenizer that can be read", lambda: load_generator(base))


@pytest.mark.parametrize("spoil", [Path.unlink, cut, pointer], ids=["missing", "cut", "pointer"])
def test_files_of_a_baseline_that_cannot_be_read(
    tiny_base: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    data, out = read_dataset(write_dataset(tmp_path / "data")), tmp_path / "model"
    with Fitting() as fitting:
        fit_baseline("encoder", data, out, ["PM"], Choices(str(tiny_base), epochs=1), fitting, lambda note: None)
    weights = (out / "PM.safetensors").read_bytes()
    spoil(out / "PM.safetensors")
    message = {Path.unlink: "The files of PM in {folder} are not those that were fitted"}
    broken = {cut: "{file} is damaged or cut short", pointer: "{file} is a pointer of Git LFS"}
    refuses(out / "PM.safetensors", {**message, **broken}[spoil], lambda: load_generator(out))
    (out / "PM.safetensors").write_bytes(weights)
    load_generator(out)
    spoil(out / "tokenizer.json")
    refuses(out / "tokenizer.json", "{folder} has no tokenizer that can be read", lambda: load_generator(out))


def test_a_base_without_a_vocabulary_is_not_taken_for_one_to_which_all_words_are_unknown(
    tiny_base: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "encoder"))
    (folder / "tokenizer.json").unlink()
    refuses(folder / WHOLE, "has no tokenizer that can be read", lambda: load_encoder(str(folder)))


def test_a_pointer_in_the_place_of_a_gguf_file(tmp_path: Path) -> None:
    pointer(tmp_path / "base.gguf")
    refuses(
        tmp_path / "base.gguf", "{file} is a pointer of Git LFS", lambda: load_generator(str(tmp_path / "base.gguf"))
    )


def exchange(base: Path) -> None:
    """Put the weights of another model of the same form in a base's place."""
    save_tiny("llama", base, seed=5, max_position_embeddings=2048)


def test_the_base_belongs_to_what_identifies_an_adapter(adapter: Path, base: Path) -> None:
    before = identity(adapter)
    assert identity(adapter) == before and identity(f"vllm:{adapter}")["model"] == before["model"]
    exchange(base)
    after = identity(adapter)
    assert {name for name in before if before[name] != after[name]} == {"model"}


def test_an_adapter_on_another_base_than_it_was_tuned_on_is_refused(adapter: Path, base: Path) -> None:
    describe(adapter, {**INFO, "base_hash": base_hash(str(base), None)})
    load_generator(adapter)
    exchange(base)
    out, message = (
        adapter.parent / "merged",
        f"The base '{base}' is not the one that the adapter {adapter} was tuned on",
    )
    refuses(base / WHOLE, message, lambda: load_generator(adapter), lambda: merge(adapter, out, lambda *loaded: None))
    assert not out.exists()


def test_a_base_at_the_hub_counts_with_its_resolved_revision(
    adapter: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the hub's cache of this machine: no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    kept = tmp_path / "hub" / "models--shop--base"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(base, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("a" * 40)
    rewrite(adapter, base_model_name_or_path="shop/base")
    assert base_hash("shop/base", None) == base_hash("shop/base", "a" * 40) == f"shop/base@{'a' * 40}"
    before = identity(adapter)["model"]
    (kept / "refs" / "main").write_text("b" * 40)
    assert identity(adapter)["model"] != before
    rewrite(adapter, revision="a" * 40)
    assert base_hash("shop/base", None) == f"shop/base@{'b' * 40}"
    refuses(adapter / LORA, "'shop/none' is no model's folder and cannot", lambda: base_hash("shop/none", None))
