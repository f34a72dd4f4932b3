"""From a model's name to what asks it: MODEL folders, bases that were not tuned, and what is refused."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

import ecellm
from ecellm.data.dataset import Dataset
from ecellm.errors import ConfigError, EcellmError
from ecellm.inference.predict import predict
from ecellm.inference.selection import questions
from ecellm.models.base import Decoding, Request
from ecellm.models.load import identity, load_generator
from ecellm.models.transformers.generator import TransformersGenerator
from ecellm.prompts import TEMPLATES
from ecellm.tasks import TASKS
from ecellm.types import SETTINGS
from model_folders import describe
from tiny_models import save_tiny

#: As a published model brings its own, in the form of Alpaca-LoRA.
OWN = {
    "description": "a layout of its own",
    "prompt_input": "Task: {instruction}\nText: {input}\nChoices: {options}\nSay:",
    "prompt_no_options": "Task: {instruction}\nText: {input}\nSay:",
    "response_split": "Say:",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain causal base with a chat template, room for the tests' prompts, and no facts of ours."""
    return save_tiny("llama", tmp_path_factory.mktemp("base"), max_position_embeddings=2048)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.json"
    file.write_text(json.dumps(OWN))
    return file


def test_a_base_is_asked_in_its_own_chat_template_within_its_window(base: Path, tiny_data: Dataset) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in base.iterdir()}
    model = load_generator(base)
    assert isinstance(model, TransformersGenerator)
    (row,) = tiny_data.view(SETTINGS[0], tasks=["PM"])[:1]
    (prompt,) = model.prompts([row])
    assert prompt.text == f"<s>[user] {row.instruction}\n\n{row.example.input}\n[assistant] "
    assert model.budget == 2048 - 100
    (reply,) = model.reply([Request(row, prompt)])
    assert reply.text in ("yes", "no") and reply.probability is not None
    assert {file.name: file.stat().st_mtime_ns for file in base.iterdir()} == before  # nothing is left in it


def test_a_published_model_is_asked_in_the_template_that_comes_with_it(
    base: Path, own: Path, tiny_data: Dataset, tmp_path: Path
) -> None:
    model = load_generator(str(base), template=str(own))
    (row,) = tiny_data.view(SETTINGS[0], tasks=["SA"])[:1]
    (prompt,) = model.prompts([row])
    assert prompt.text == f"Task: {row.instruction}\nText: {row.example.input}\nChoices: {row.example.options}\nSay:"
    out = tmp_path / "out.jsonl"
    rows = questions(tiny_data, [SETTINGS[0]], ["PM", "SA", "QPR"])
    counts = predict(model, rows, out, identity(base, template=str(own)))
    assert counts.answered == 9 and counts.unparsed == 0
    tests = {example.id: example for example in tiny_data.examples("test")}
    for line in out.read_text().splitlines():
        row_ = json.loads(line)
        assert row_["text"] in (TASKS[row_["task"]].answer.candidates(tests[row_["id"]]) or ())


def test_what_changes_a_bases_answers_changes_its_record(base: Path, own: Path, tmp_path: Path) -> None:
    plain = identity(base)
    assert plain == identity(str(base), Decoding())
    assert plain["engine"] == "transformers"
    other = save_tiny("llama", tmp_path / "other", seed=1, max_position_embeddings=2048)
    changes = {
        "model": identity(other),
        "prompt": identity(base, template=str(own)),
        "decoding": identity(base, Decoding(free=True)),
        "engine": identity(f"vllm:{base}"),
    }
    for name, changed in changes.items():
        assert {key for key in plain if plain[key] != changed[key]} == {name}


def test_a_base_without_a_chat_template_wants_one_named(tmp_path: Path) -> None:
    base = save_tiny("phi", tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    with pytest.raises(EcellmError, match="no chat template: set template to"):
        load_generator(base)
    model = load_generator(base, template="alpaca")
    assert isinstance(model, TransformersGenerator) and model.template == TEMPLATES["alpaca"]


def test_a_tuned_model_keeps_its_template(tmp_path: Path, own: Path) -> None:
    describe(tmp_path, {"recipe": {"family": "causal"}})
    with pytest.raises(EcellmError, match="omit --template"):
        load_generator(tmp_path, template=str(own))


def test_an_unfinished_run_of_tuning_is_not_taken_for_a_base(tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path / "model")
    (folder / "checkpoints").mkdir()
    with pytest.raises(EcellmError, match="not a finished model"):
        load_generator(folder)


def test_xs_does_not_decode_closed_answers_freely(tmp_path: Path) -> None:
    describe(tmp_path, {"recipe": {"family": "xs"}})
    with pytest.raises(EcellmError, match="XS scores candidates"):
        load_generator(tmp_path, Decoding(free=True))


@pytest.mark.parametrize("decoding", [Decoding(free=True), Decoding(temperature=0.5)])
def test_a_baseline_is_not_decoded(tmp_path: Path, decoding: Decoding) -> None:
    describe(tmp_path, {"recipe": {"family": "baseline"}})
    with pytest.raises(EcellmError, match="generates no text"):
        load_generator(tmp_path, decoding)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("runs/mode", "There is no folder runs/mode, and no such model can be had from the hub"),
        ("runs/no/model", "There is no model 'runs/no/model': name a folder, a .gguf file"),
        ("nothing", "There is no model 'nothing'"),
        ("../x/y", "There is no model"),
        ("", "There is no model ''"),
        ("vllm:nothing", "There is no model 'nothing'"),
        ("nothing.gguf", "There is no file nothing.gguf"),
        (__file__, "is a file, and no .gguf: name the folder of a model"),
    ],
)
def test_a_name_that_is_neither_a_folder_nor_at_the_hub_is_one_sentence(name: str, message: str) -> None:
    for use in (load_generator, identity):
        with pytest.raises(EcellmError, match=re.escape(message)):
            use(name)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", 99])
def test_a_device_that_torch_cannot_compute_on_is_one_sentence(base: Path, device: Any) -> None:
    with pytest.raises(ConfigError, match=f"cannot compute on the device {device!r}"):
        load_generator(base, device=device)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "half"}, "precision of a decoding is one of fp32, bf16, int8, not 'half'"),
        ({"temperature": -1}, "temperature of a decoding is a number of at least 0, not -1"),
        ({"temperature": math.nan}, "temperature of a decoding is a number"),
        ({"temperature": "hot"}, "temperature of a decoding is a number"),
        ({"top_p": 0}, "top_p of a decoding is a number above 0 and at most 1, not 0"),
        ({"seed": -1}, "seed of a decoding is a whole number"),
        ({"max_new_tokens": 0}, "max_new_tokens of a decoding is a whole number above 0, not 0"),
    ],
)
def test_a_decoding_out_of_range_is_one_sentence(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Decoding(**wrong)


def test_what_is_no_decoding_or_precision_is_refused_by_the_api(base: Path) -> None:
    how: Any = "free"
    with pytest.raises(ConfigError, match="The decoding is 'free': make one"):
        ecellm.load_model(base, decoding=how, precision="bf16")
    with pytest.raises(ConfigError, match="precision of a decoding is one of"):
        ecellm.load_model(base, precision=how)


def test_files_that_are_no_model_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(EcellmError, match="no model that transformers reads"):
        load_generator(tmp_path)
