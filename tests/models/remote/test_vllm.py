"""vLLM's offline engine, which is not installed here: its calls, recorded by a stand-in."""

import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.base import Decoding, Request, Streaming
from ecellm.models.load import load_generator
from ecellm.models.remote.vllm import VLLMGenerator
from ecellm.prompts import TEMPLATES
from ecellm.tasks import TASKS
from ecellm.types import SETTINGS
from model_folders import describe
from tiny_models import save_tiny


class Engine:
    """vllm.LLM: allowed answers get their first choice, others "some words"; yes is likelier than no by .7 to .2."""

    made: Any = None

    def __init__(self, **how: Any):
        Engine.made = self
        self.how = how
        self.calls: list[Any] = []

    def generate(self, prompts: list[Any], sampling_params: list[Any], **more: Any) -> list[Any]:
        self.calls.append((prompts, sampling_params, more))
        return [SimpleNamespace(outputs=[self._say(params)]) for params in sampling_params]

    def _say(self, params: Any) -> Any:
        constraint = getattr(params, "structured_outputs", None)
        choice = getattr(constraint, "choice", None)
        text = choice[0] if choice else "[]" if constraint else " some words ### Response: more"
        likely = {"yes": 0.7, "no": 0.2, "well": 0.1}
        logprobs = None
        if getattr(params, "logprobs", None):
            tokens = (SimpleNamespace(decoded_token=token, logprob=math.log(p)) for token, p in likely.items())
            logprobs = [dict(enumerate(tokens))]
        return SimpleNamespace(text=text, logprobs=logprobs)


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    package, lora, sampling = ModuleType("vllm"), ModuleType("vllm.lora.request"), ModuleType("vllm.sampling_params")
    package.LLM, package.SamplingParams = Engine, SimpleNamespace  # type: ignore[attr-defined]
    lora.LoRARequest = lambda *given: SimpleNamespace(given=given)  # type: ignore[attr-defined]
    sampling.StructuredOutputsParams = SimpleNamespace  # type: ignore[attr-defined]
    for module in (package, ModuleType("vllm.lora"), lora, sampling):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole MODEL folder."""
    made = save_tiny("llama", tmp_path / "model")
    facts = {
        "recipe": {"family": "causal", "max_tokens": 400},
        "template": TEMPLATES["alpaca"].model_dump(),
        "offsets": {},
    }
    describe(made, facts)
    return made


def requests(data: Dataset, model: Any) -> list[Request]:
    rows = data.view(SETTINGS[0])
    return [Request(row, prompt) for row, prompt in zip(rows, model.prompts(rows), strict=True)]


def test_all_questions_go_to_the_engine_at_once_each_with_its_own_constraint(
    folder: Path, tiny_data: Dataset
) -> None:
    model = load_generator(f"vllm:{folder}")
    assert isinstance(model, VLLMGenerator) and isinstance(model, Streaming)
    how = Engine.made.how
    assert how["model"] == how["tokenizer"] == str(folder) and how["enable_prefix_caching"]
    assert "enable_lora" not in how
    rows = requests(tiny_data, model)
    replies = model.reply(rows)
    ((prompts, params, more),) = Engine.made.calls
    assert prompts == [{"prompt_token_ids": row.prompt.ids} for row in rows]
    assert more["lora_request"] is None
    for row, one, reply in zip(rows, params, replies, strict=True):
        task = TASKS[row.question.example.task]
        candidates = task.answer.candidates(row.question.example)
        assert (one.temperature, one.top_p, one.seed, one.stop_token_ids) == (0.0, 1.0, None, [1])
        if candidates is not None:
            assert one.structured_outputs.choice == list(candidates) and one.max_tokens == 100
        elif task.name == "AVE":
            assert one.structured_outputs.json == task.answer.schema(row.question.example) and one.max_tokens == 200
            assert reply.text == "[]"
        else:
            assert not hasattr(one, "structured_outputs") and reply.text == "some words"
        if task.name == "PM":
            assert reply.text == "yes" and reply.scores == pytest.approx({"yes": 7 / 9, "no": 2 / 9})
        assert hasattr(one, "logprobs") == (task.name in ("PM", "SA", "SR"))


def test_what_was_fitted_moves_decision_and_probability(folder: Path, tiny_data: Dataset) -> None:
    facts = json.loads((folder / "ecellm.json").read_text())
    describe(folder, {**facts, "offsets": {"PM": [-3.0, 0.0]}, "temperatures": {"PM": 2.0}})
    model = load_generator(f"vllm:{folder}")
    assert isinstance(model, VLLMGenerator)
    replies = model.reply([row for row in requests(tiny_data, model) if row.question.example.task == "PM"])
    assert {reply.text for reply in replies} == {"no"}
    yes, no = 7**0.5, 2**0.5
    assert replies[0].scores == pytest.approx({"yes": yes / (yes + no), "no": no / (yes + no)})


def test_free_decoding_is_sampled_with_a_seed_of_each_question(folder: Path, tiny_data: Dataset) -> None:
    model = load_generator(f"vllm:{folder}", Decoding(True, 0.15, 0.95, 5))
    rows = requests(tiny_data, model)
    model.reply(rows)
    model.reply(rows[::-1])
    first, second = ([one.seed for one in params] for _, params, _ in Engine.made.calls)
    assert first == second[::-1] and len(set(first)) == len(rows)
    for _, params, _ in Engine.made.calls:
        assert all((one.temperature, one.top_p) == (0.15, 0.95) for one in params)
        assert not any(hasattr(one, "structured_outputs") for one in params)


def test_an_adapter_stays_apart_from_its_base(folder: Path, tiny_data: Dataset, tmp_path: Path) -> None:
    adapter = {"base_model_name_or_path": "some/base", "revision": "abc", "r": 20}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    model = load_generator(f"vllm:{folder}")
    how = Engine.made.how
    assert (how["model"], how["revision"], how["tokenizer"]) == ("some/base", "abc", str(folder))
    assert how["enable_lora"] and how["max_lora_rank"] == 32
    model.reply(requests(tiny_data, model)[:1])
    assert Engine.made.calls[0][2]["lora_request"].given == ("adapter", 1, str(folder))


def test_a_base_is_asked_as_it_is(tmp_path: Path, tiny_data: Dataset) -> None:
    base = save_tiny("qwen3", tmp_path / "base")
    model = load_generator(f"vllm:{base}")
    assert model.prompts(tiny_data.view(SETTINGS[0])[:1])[0].text.startswith("<s>[user] ")


@pytest.mark.parametrize("family", ["xs", "encoder-decoder"])
def test_families_that_vllm_does_not_run_are_refused(tmp_path: Path, family: str) -> None:
    describe(tmp_path, {"recipe": {"family": family}})
    with pytest.raises(EcellmError, match=f"not the family '{family}'"):
        load_generator(f"vllm:{tmp_path}")


def test_a_missing_package_is_said_with_the_install_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EcellmError, match=r"pip install 'ecellm\[vllm\]'"):
        load_generator(f"vllm:{folder}")
