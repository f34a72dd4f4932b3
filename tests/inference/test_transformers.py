"""Asking causal and encoder-decoder models: the same answers whatever the batch, the right probabilities."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from ecellm.dataset.dataset import Asked
from ecellm.inference.generator import Question
from ecellm.inference.load import load_generator
from ecellm.inference.transformers_ import TransformersGenerator
from ecellm.models.folder import write_facts
from ecellm.prompts import TEMPLATES, encode_response
from ecellm.records import Sample
from ecellm.tasks import TASKS, pm
from ecellm.tasks.answers import FreeText, Letter
from ecellm.tasks.pieces import option_pieces, whole
from ecellm.tasks.task import Pieces
from tiny_models import CONFIGS, save_tiny

BUDGET = 320


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MODEL folder with random weights."""
    path = tmp_path_factory.mktemp(request.param)
    save_tiny(request.param, path, seed=7)
    kind = AutoModelForSeq2SeqLM if request.param == "t5" else AutoModelForCausalLM
    model = kind.from_pretrained(path)
    with torch.no_grad():  # larger weights, so that answers differ from row to row
        for weight in model.parameters():
            weight.mul_(3)
    model.save_pretrained(path)
    family = "encoder-decoder" if request.param == "t5" else "causal"
    write_facts(
        path,
        {
            "recipe": {"family": family, "template": "alpaca", "max_tokens": BUDGET},
            "template": TEMPLATES["alpaca"].model_dump(),
            "offsets": {"PM": [50.0, 0.0]},
        },
    )
    return path


@pytest.fixture(scope="module")
def generator(folder: Path) -> TransformersGenerator:
    loaded = load_generator(folder)
    assert isinstance(loaded, TransformersGenerator)
    return loaded


@pytest.fixture(autouse=True, scope="module")
def tasks() -> Iterator[None]:
    """A task of letters and one of free text, beside PM."""

    def pieces(sample: Sample) -> Pieces:
        return Pieces(whole(sample.input), option_pieces(sample.options, rank=2))

    made = {
        "PICK": replace(pm.TASK, name="PICK", answer=Letter("ABCDE", whole_option=True), pieces=pieces),
        "TELL": replace(pm.TASK, name="TELL", answer=FreeText(), pieces=pieces),
    }
    with patch.dict(TASKS, made):
        yield


def asked(task: str, number: int) -> Asked:
    text = "a blue steel mug " * (1 + number * 5 % 7) + str(number)
    bodies = ["mug", "steel pot, blue", "no answer", "pot"][: 2 + number % 3]
    options = [f"{letter}: {body}" for letter, body in zip("ABCD", bodies, strict=False)]
    return Asked(
        Sample(
            f"{task}-{number}",
            task,
            "IND",
            "test",
            json.dumps({"product 1": text}) if task == "PM" else text,
            json.dumps(options) if task == "PICK" else None,
            "yes",
        ),
        "What is it?",
    )


def questions(generator: TransformersGenerator) -> list[Question]:
    rows = [asked(task, number) for number in range(6) for task in ("PICK", "TELL", "PM")]
    return [Question(row, prompt) for row, prompt in zip(rows, generator.prompts(rows), strict=True)]


def log_probability(generator: TransformersGenerator, prompt: list[int], response: list[int]) -> float:
    """Return log p(response | prompt), unpadded, without a cache."""
    model = generator.model
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            out = model(input_ids=torch.tensor([prompt]), labels=torch.tensor([response]))
            logits = out.logits[0]
        else:
            out = model(input_ids=torch.tensor([prompt + response]))
            logits = out.logits[0, len(prompt) - 1 : -1]
    logs = logits.log_softmax(-1)
    return float(sum(logs[place, token] for place, token in enumerate(response)))


def test_a_batch_gives_the_answers_of_one_at_a_time(generator: TransformersGenerator) -> None:
    rows = questions(generator)
    singly = [generator.reply([row])[0] for row in rows]
    together = [reply for at in range(0, len(rows), 9) for reply in generator.reply(rows[at : at + 9])]
    assert [reply.text for reply in together] == [reply.text for reply in singly]
    for one, other in zip(together, singly, strict=True):
        assert (one.scores is None) == (other.scores is None)
        if one.scores is not None:
            assert one.scores == pytest.approx(other.scores, abs=1e-5)
    assert len({reply.text for reply in singly}) > 3  # the test could not tell rows apart otherwise


def test_a_closed_answer_is_the_likeliest_whole_response(generator: TransformersGenerator) -> None:
    rows = [row for row in questions(generator) if row.asked.sample.task == "PICK"]
    for row, reply in zip(rows, generator.reply(rows), strict=True):
        options = json.loads(row.asked.sample.options)
        logs = [
            log_probability(generator, row.prompt.ids, encode_response(option, generator.tokenizer))
            for option in options
        ]
        total = sum(math.exp(log) for log in logs)
        assert reply.scores == pytest.approx(
            {option: math.exp(log) / total for option, log in zip(options, logs, strict=True)}, abs=1e-4
        )
        assert reply.text == max(reply.scores, key=reply.scores.get)
        assert reply.probability == max(reply.scores.values())


def test_fitted_offsets_move_the_decision(generator: TransformersGenerator, monkeypatch: Any) -> None:
    rows = [row for row in questions(generator) if row.asked.sample.task == "PM"]
    assert {reply.text for reply in generator.reply(rows)} == {"yes"}
    assert all(reply.probability > 0.99 for reply in generator.reply(rows))
    monkeypatch.setattr(generator, "offsets", {"PM": [-50.0, 0.0]})
    assert {reply.text for reply in generator.reply(rows)} == {"no"}


def test_a_written_answer_is_the_greedy_one(generator: TransformersGenerator) -> None:
    rows = [row for row in questions(generator) if row.asked.sample.task == "TELL"][:3]
    model, end = generator.model, generator.tokenizer.eos_token_id
    for row, reply in zip(rows, generator.reply(rows), strict=True):
        written: list[int] = []
        while len(written) < 100 and (not written or written[-1] != end):
            with torch.no_grad():
                if model.config.is_encoder_decoder:
                    so_far = torch.tensor([[0, *written]])
                    out = model(input_ids=torch.tensor([row.prompt.ids]), decoder_input_ids=so_far)
                else:
                    out = model(input_ids=torch.tensor([row.prompt.ids + written]))
            written.append(int(out.logits[0, -1].argmax()))
        text = generator.tokenizer.decode(written, skip_special_tokens=True)
        assert reply.text == generator.template.answer(text)


def test_prompts_keep_to_the_models_budget_and_template(generator: TransformersGenerator) -> None:
    long = asked("TELL", 0)
    long = replace(long, sample=replace(long.sample, input="a blue steel mug " * 200))
    (prompt,) = generator.prompts([long])
    assert len(prompt.ids) <= BUDGET and prompt.cut
    assert prompt.text.endswith("### Response:\n")


def test_a_folder_of_an_unknown_family_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a finished model"):
        load_generator(tmp_path)
    write_facts(tmp_path, {"recipe": {"family": "oracle"}})
    with pytest.raises(ValueError, match="family 'oracle'"):
        load_generator(tmp_path)
