"""Asking causal and encoder-decoder models: the same answers whatever the batch, the right probabilities."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from ecellm.errors import EcellmError
from ecellm.models.base import Decoding, Reply, Request
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.load import load_generator
from ecellm.models.transformers.generator import TransformersGenerator
from ecellm.prompts import TEMPLATES, encode_response
from ecellm.tasks import TASKS, pm
from ecellm.tasks.answers import FreeText, Letter, Ranking
from ecellm.tasks.input_parsing import option_pieces, whole
from ecellm.tasks.metrics import GAINS
from ecellm.tasks.task import Pieces
from ecellm.types import Example, Question
from model_folders import describe
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
    describe(
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
    assert isinstance(load_generator(folder), TransformersGenerator)
    return TransformersGenerator.from_folder(folder, decoding=Decoding(max_new_tokens=20))


@pytest.fixture(scope="module")
def singly(generator: TransformersGenerator) -> list[Reply]:
    """The replies to `questions`, one request at a time."""
    return [generator.reply([row])[0] for row in questions(generator)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take most of the time of tiny models."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def short_values() -> Iterator[None]:
    """What random weights write has no end."""
    with patch("ecellm.models.decoding.generation.MAX_VALUE_TOKENS", 6):
        yield


@pytest.fixture(autouse=True, scope="module")
def tasks() -> Iterator[None]:
    """A task of letters and one of free text, beside PM."""

    def pieces(example: Example) -> Pieces:
        return Pieces(whole(example.input), option_pieces(example.options, rank=2))

    made = {
        "DEEP": replace(pm.TASK, name="DEEP", answer=Letter("ABCDE", whole_option=True), pieces=pieces),
        "RANK": replace(pm.TASK, name="RANK", answer=Ranking("product list", GAINS)),
        "PICK": replace(pm.TASK, name="PICK", answer=Letter("ABCDE", whole_option=True), pieces=pieces),
        "TELL": replace(pm.TASK, name="TELL", answer=FreeText(), pieces=pieces),
    }
    with patch.dict(TASKS, made):
        yield


def question_of(task: str, number: int) -> Question:
    text: Any = "a blue steel mug " * (1 + number * 5 % 7) + str(number)
    bodies = ["mug", "steel pot, blue", "no answer", "pot"][: 2 + number % 3]
    options = [f"{letter}: {body}" for letter, body in zip("ABCD", bodies, strict=False)] if task == "PICK" else None
    if task == "DEEP":  # candidates that share their beginnings, and one that begins another
        options = ["the mug", "the mug: blue", "the mug: steel", "the pot"][: 2 + number % 3]
    elif task == "PM":
        text = json.dumps({"product 1": text})
    elif task == "RANK":
        text = json.dumps(
            {"query": text, "product list": ["A: mug", "B: pot", "C: steel", "D: no"][: 2 + number % 3]}
        )
    elif task == "AVE":
        targets = ["Color and Weight", "Steel", "Size and Color and Blue"][number % 3]
        text = json.dumps({"product title": text, "product brand": "mug", "target attributes": targets})
    shown = json.dumps(options) if options else None
    return Question(Example(f"{task}-{number}", task, "IND", "test", text, shown, "yes"), "What is it?")


def questions(generator: TransformersGenerator) -> list[Request]:
    rows = [
        question_of(task, number) for number in range(6) for task in ("PICK", "TELL", "PM", "DEEP", "RANK", "AVE")
    ]
    return [Request(row, prompt) for row, prompt in zip(rows, generator.prompts(rows), strict=True)]


def next_logs(generator: TransformersGenerator, prompt: list[int], written: list[int]) -> torch.Tensor:
    """Return the log-probabilities [V] of what follows, unpadded, without a cache."""
    model = generator.model
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            return (
                model(  # type: ignore[no-any-return]
                    input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[0, *written]])
                )
                .logits[0, -1]
                .log_softmax(-1)
            )
        return model(input_ids=torch.tensor([prompt + written])).logits[0, -1].log_softmax(-1)  # type: ignore[no-any-return]


def constrained(generator: TransformersGenerator, request: Request) -> dict[str, float]:
    """Return each candidate's probability when an answer is written token by token among the candidates."""
    candidates = candidates_of(request.question.example)
    assert candidates is not None
    tokens = {text: encode_response(text, generator.tokenizer) for text in candidates}
    found = dict.fromkeys(candidates, 1.0)
    for text, ids in tokens.items():
        for place in range(len(ids)):
            here = [other[place] for other in tokens.values() if other[:place] == ids[:place]]
            choices = sorted(set(here))
            if len(choices) > 1:
                logs = next_logs(generator, request.prompt.ids, ids[:place])[choices]
                found[text] *= float(logs.softmax(-1)[choices.index(ids[place])])
    return found


@pytest.mark.parametrize(("rows_at_once", "turned"), [(5, False), (64, True)])
def test_the_same_answers_come_whatever_the_batch_and_order(
    generator: TransformersGenerator, singly: list[Reply], rows_at_once: int, turned: bool
) -> None:
    rows = questions(generator)
    order = range(len(rows))[::-1] if turned else range(len(rows))
    batches = [[rows[place] for place in order][at : at + rows_at_once] for at in range(0, len(rows), rows_at_once)]
    found = [reply for batch in batches for reply in generator.reply(batch)]
    together = [found[place] for place in order]
    assert [reply.text for reply in together] == [reply.text for reply in singly]
    for one, other in zip(together, singly, strict=True):
        assert (one.scores is None) == (other.scores is None)
        if one.scores is not None:
            assert one.scores == pytest.approx(other.scores, abs=1e-5)
            assert sum(one.scores.values()) == pytest.approx(1)
    assert len({reply.text for reply in singly}) > 8  # the test could not tell rows apart otherwise


def test_padding_on_either_side_of_the_tokenizer_changes_nothing(
    generator: TransformersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for side in ("left", "right"):
        monkeypatch.setattr(generator.tokenizer, "padding_side", side)
        found.append(generator.reply(questions(generator)))
    assert found[0] == found[1]


@pytest.mark.parametrize("task", ["PM", "PICK", "DEEP", "RANK"])
def test_a_closed_answer_is_the_likeliest_of_those_that_could_be_written(
    generator: TransformersGenerator, task: str
) -> None:
    rows = [row for row in questions(generator) if row.question.example.task == task][:3]
    for row, reply in zip(rows, generator.reply(rows), strict=True):
        expected = constrained(generator, row)
        assert reply.scores == pytest.approx(expected, abs=2e-5)
        if task != "PM":  # whose offsets decide
            assert reply.text == max(expected, key=expected.__getitem__)
        assert reply.probability == reply.scores[reply.text]


def test_a_closed_question_is_one_forward_pass(generator: TransformersGenerator, monkeypatch: Any) -> None:
    calls: list[int] = []
    forward = generator.model.forward
    monkeypatch.setattr(generator.model, "forward", lambda *given, **more: calls.append(1) or forward(*given, **more))
    rows = questions(generator)
    one_pass = ("PM", "PICK") if generator.model.config.is_encoder_decoder else ("PM", "PICK", "DEEP", "RANK")
    for task in one_pass:
        calls.clear()
        generator.reply([row for row in rows if row.question.example.task == task][:1])
        assert len(calls) == 1


def test_what_prompts_begin_with_is_read_once(generator: TransformersGenerator, monkeypatch: Any) -> None:
    if generator.model.config.is_encoder_decoder:
        return  # an encoder looks both ways
    rows = [row for row in questions(generator) if row.question.example.task in ("PICK", "RANK")]
    reader = TransformersGenerator.from_folder(Path(generator.tokenizer.name_or_path))
    read: list[int] = []
    forward = reader.model.forward
    monkeypatch.setattr(
        reader.model, "forward", lambda **given: read.append(given["input_ids"].numel()) or forward(**given)
    )
    first = reader.reply(rows)
    tokens = sum(read)
    assert tokens < sum(len(row.prompt.ids) for row in rows)
    read.clear()
    assert reader.reply(rows) == first  # exactly: what was kept is what was read
    assert sum(read) < tokens


def test_writing_is_divided_where_keys_and_values_would_not_fit(
    generator: TransformersGenerator, monkeypatch: Any
) -> None:
    rows = [row for row in questions(generator) if row.question.example.task == "TELL"]
    together = [reply.text for reply in generator.reply(rows)]
    monkeypatch.setattr("ecellm.models.transformers.generator.CACHE_BYTES", 1)
    sizes: list[int] = []
    write = generator._write
    monkeypatch.setattr(generator, "_write", lambda some: sizes.append(len(some)) or write(some))
    assert [reply.text for reply in generator.reply(rows)] == together
    assert sizes == [1] * len(rows)


def test_offsets_move_the_decision_and_not_the_probabilities(
    generator: TransformersGenerator, monkeypatch: Any
) -> None:
    rows = [row for row in questions(generator) if row.question.example.task == "PM"]
    yes = generator.reply(rows)
    assert {reply.text for reply in yes} == {"yes"}
    monkeypatch.setattr(generator, "offsets", {"PM": [-50.0, 0.0]})
    no = generator.reply(rows)
    assert {reply.text for reply in no} == {"no"}
    assert [reply.scores for reply in no] == [reply.scores for reply in yes]
    assert [reply.probability for reply in no] == [reply.scores["no"] for reply in yes]


def test_attribute_values_always_parse_and_answer_what_was_asked(generator: TransformersGenerator) -> None:
    rows = [row for row in questions(generator) if row.question.example.task == "AVE"]
    answer = TASKS["AVE"].answer
    for row, reply in zip(rows, generator.reply(rows), strict=True):
        example = row.question.example
        triples = answer.parse(reply.text, example)
        assert triples is not None and json.dumps(triples) == reply.text
        asked_for = json.loads(example.input)["target attributes"].lower().split(" and ")
        assert [triple["attribute"] for triple in triples] == asked_for
        for triple in triples:
            assert triple["value"] and triple["value"] == triple["value"].strip()
            sources = {"None"} if triple["value"] == "None" else {"product title", "product brand"}
            assert triple["source"] in sources


def test_free_decoding_writes_closed_answers_too(folder: Path, generator: TransformersGenerator) -> None:
    rows = questions(generator)
    free = TransformersGenerator.from_folder(folder, decoding=Decoding(free=True, max_new_tokens=7))
    written = free.reply(rows)
    assert all(reply.probability is None and reply.scores is None for reply in written)
    end = free.tokenizer.eos_token_id
    for row, reply in zip(rows[:3], written, strict=False):
        ids: list[int] = []
        while len(ids) < 7 and (not ids or ids[-1] != end):
            ids.append(int(next_logs(free, row.prompt.ids, ids).argmax()))
        assert reply.text == free.template.answer(free.tokenizer.decode(ids, skip_special_tokens=True))


def test_sampled_answers_follow_the_seed_and_not_the_batch(folder: Path, generator: TransformersGenerator) -> None:
    rows = [row for row in questions(generator) if row.question.example.task == "TELL"]

    def texts(seed: int, one_by_one: bool = False) -> list[str]:
        decoding = Decoding(temperature=2.0, top_p=0.9, seed=seed, max_new_tokens=6)
        sampling = TransformersGenerator.from_folder(folder, decoding=decoding)
        groups = [[row] for row in rows] if one_by_one else [rows[::-1]]
        found = [reply.text for group in groups for reply in sampling.reply(group)]
        return found if one_by_one else found[::-1]

    assert texts(1) == texts(1, one_by_one=True)
    assert texts(1) != texts(2)


def test_a_written_answer_is_the_greedy_one(generator: TransformersGenerator) -> None:
    rows = [row for row in questions(generator) if row.question.example.task == "TELL"][:3]
    end = generator.tokenizer.eos_token_id
    for row, reply in zip(rows, generator.reply(rows), strict=True):
        written: list[int] = []
        while len(written) < 20 and (not written or written[-1] != end):
            written.append(int(next_logs(generator, row.prompt.ids, written).argmax()))
        text = generator.tokenizer.decode(written, skip_special_tokens=True)
        assert reply.text == generator.template.answer(text)


def test_prompts_keep_to_the_models_budget_and_template(generator: TransformersGenerator) -> None:
    long = question_of("TELL", 0)
    long = replace(long, example=replace(long.example, input="a blue steel mug " * 200))
    (prompt,) = generator.prompts([long])
    assert len(prompt.ids) <= BUDGET and prompt.truncated
    assert prompt.text.endswith("### Response:\n")


def test_a_folder_of_an_unknown_family_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match="not a finished model"):
        load_generator(tmp_path)
    describe(tmp_path, {"recipe": {"family": "oracle"}})
    with pytest.raises(EcellmError, match="family 'oracle'"):
        load_generator(tmp_path)
