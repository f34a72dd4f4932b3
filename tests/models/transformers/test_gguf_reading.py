"""GGUF files as bases: converted once and exactly, tuned and used by their path; what is read wrongly is refused."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.transformers import gguf_reading
from ecellm.models.transformers.base_models import base_location
from ecellm.models.transformers.gguf_reading import cache_folder, converted
from gguf_files import write_tiny_gguf
from tiny_models import save_tiny

Run = Callable[..., tuple[int, str, str]]
TEXTS = ["a blue steel mug: 12.99, yes or no?", "  2 mugs\n\n  5 stars", "<s>[user] hi</s>"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("llama", tmp_path_factory.mktemp("base"), max_position_embeddings=2048, tie_word_embeddings=True)


@pytest.fixture(scope="module")
def file(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(base, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.mark.parametrize("tied", [True, False])
def test_a_converted_model_says_what_the_file_holds(tied: bool, tmp_path: Path) -> None:
    base = save_tiny("llama", tmp_path / "base", tie_word_embeddings=tied)
    folder = converted(write_tiny_gguf(base, tmp_path / "tiny.gguf"))
    before, after = (AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval() for path in (base, folder))
    assert after.dtype == torch.float32 and not hasattr(after.config, "quantization_config")
    assert after.config.tie_word_embeddings is tied
    known = AutoTokenizer.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ids = known(text).input_ids
        assert tokenizer(text).input_ids == ids and tokenizer.decode(ids) == known.decode(ids)
        with torch.inference_mode():
            assert torch.equal(before(torch.tensor([ids])).logits, after(torch.tensor([ids])).logits)
    assert tokenizer.chat_template == known.chat_template
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(after.config, name) == getattr(tokenizer, name) == getattr(known, name)


def test_quantised_weights_are_kept_in_bf16(base: Path, tmp_path: Path) -> None:
    folder = converted(write_tiny_gguf(base, tmp_path / "tiny.gguf", "Q8_0"))
    before, after = (load_file(path / "model.safetensors") for path in (base, folder))
    assert {weight.dtype for weight in after.values()} == {torch.bfloat16}
    for name, weight in after.items():
        torch.testing.assert_close(
            weight.float(), before[name], rtol=0.02, atol=0.01 * float(before[name].abs().max())
        )


def test_digits_stand_alone_where_the_file_says_so(base: Path, tmp_path: Path) -> None:
    """As SmolLM2's: the spaces before a number are one word, each digit is another."""
    folder = converted(write_tiny_gguf(base, tmp_path / "tiny.gguf", splitting="smollm"))
    split = AutoTokenizer.from_pretrained(folder).backend_tokenizer.pre_tokenizer.pre_tokenize_str
    assert [word for word, _ in split("for  129 mugs")] == ["for", "ĠĠ", "1", "2", "9", "Ġmugs"]


def test_a_file_is_converted_once_wherever_it_lies(file: Path, base: Path, tmp_path: Path) -> None:
    folder = converted(file)
    assert folder.parent == cache_folder() / "gguf"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    assert converted(copy) == folder and base_location(str(copy)) == str(folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    write_tiny_gguf(base, copy, "F16")
    assert converted(copy) != folder


def test_of_two_who_need_a_file_one_converts_it(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECELLM_CACHE", str(tmp_path))
    convert, calls = gguf_reading._convert, []

    def counted(source: Path, folder: Path) -> None:
        calls.append(source)
        convert(source, folder)

    monkeypatch.setattr(gguf_reading, "_convert", counted)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(converted, [file, file]))
    assert folders[0] == folders[1] and calls == [file]


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("ECELLM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("ECELLM_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "ecellm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "ecellm"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splitting": "made-up"}, "splits text into words in a way that is not known here .made-up."),
        ({"llama__rope__scaling__type": "yarn"}, "scales its rotary positions .yarn."),
        ({"without": "blk.1.ffn_up.weight"}, r"lacks model\.layers\.1\.mlp\.up_proj"),
    ],
)
def test_a_file_that_would_be_read_wrongly_is_refused(
    changes: dict[str, str], message: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECELLM_CACHE", str(tmp_path / "cache"))
    odd = write_tiny_gguf(base, tmp_path / "odd.gguf", **changes)
    with pytest.raises(EcellmError, match=message) as raised:
        converted(odd)
    assert len(str(raised.value).splitlines()) == 1
    assert not [path for path in (tmp_path / "cache" / "gguf").iterdir() if path.is_dir()]


def test_what_is_no_gguf_file_is_one_sentence(
    file: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = ("--set", "text=good")
    code, _, message = run("ask", "SA", tmp_path / "none.gguf", *question)
    assert code == 1 and "There is no file" in message
    (tmp_path / "text.gguf").write_text("no model, but long enough to be looked into")
    code, _, message = run("ask", "SA", tmp_path / "text.gguf", *question)
    assert code == 1 and "is no GGUF file that can be read" in message
    monkeypatch.setenv("ECELLM_CACHE", str(tmp_path))
    monkeypatch.setattr(gguf_reading, "find_spec", lambda name: None)
    code, _, message = run("ask", "SA", file, *question)
    assert code == 1 and "pip install 'ecellm[gguf]'" in message


def test_a_file_is_asked_as_it_is(file: Path, tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out.jsonl"
    given = ("predict", file, "--data", tiny_data.path, "--out", out, "--setting", "IND_Diverse_Instruction")
    code, _, error = run(*given, "--tasks", "PM,SA")
    assert code == 0, error
    assert {json.loads(line)["answer"] for line in out.read_text().splitlines()} <= {"yes", "no", *"ABCDE"}
    titles = ("--set", "title_1=mug", "--set", "title_2=a mug")
    code, output, _ = run("ask", "PM", file, *titles, "--template", "chatml")
    assert code == 0 and output.split()[0] in ("yes", "no")


def test_an_adapter_on_a_file_names_it_and_is_merged(
    file: Path, tiny_data: Dataset, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        f"""
name = "tiny"
family = "causal"
base = "{file}"
template = "chat"
max_tokens = 400
[optimisation]
epochs = 1
examples = 8
[lora]
modules = ["q_proj", "v_proj"]
[validation]
calibrate = false
"""
    )
    assert run("tune", recipe, "--data", tiny_data.path, "--out", tmp_path / "adapter")[0] == 0
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(file)
    # On another machine, whose cache is empty.
    monkeypatch.setenv("ECELLM_CACHE", str(tmp_path / "cache"))
    question = ("--set", "text=this mug is great")
    code, adapted, error = run("ask", "SA", tmp_path / "adapter", *question)
    assert code == 0, error
    assert run("merge", tmp_path / "adapter", "--out", tmp_path / "whole")[0] == 0
    assert run("ask", "SA", tmp_path / "whole", *question)[:2] == (0, adapted)


def test_a_model_that_was_tuned_to_a_folder_of_the_bases_name_is_asked_itself(
    tiny_data: Dataset, base: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny("llama", Path("smollm2-135m"), max_position_embeddings=2048)
    assert run("ask", "SA", "smollm2-135m", "--set", "text=good")[0] == 0
