"""What XS reads beside the tokens: which of them two of a sample's texts share, and where options stand."""

import json

import pytest
import torch
from transformers import AutoTokenizer

from ecellm.models.minilm import minilm_folder
from ecellm.models.xs.examples import MARKS, EncodedExample, encode_question
from ecellm.models.xs.model import XSModel, make_batch, question_places
from ecellm.prompts import Prompt, named_template, render
from ecellm.tasks import TASKS
from ecellm.types import Example, Question

TOKENIZER = AutoTokenizer.from_pretrained(minilm_folder())


def encoded(task: str, text: str, options: str | None = None) -> tuple[Prompt, EncodedExample]:
    """Return the prompt of a sample of these texts, and what the model is shown."""
    sample = Example("1", task, "IND", "test", text, options, "")
    row = Question(sample, TASKS[task].instructions[0])
    prompt = render(row, named_template("compact"), TOKENIZER, 300)
    return prompt, encode_question(row, prompt, TOKENIZER)


def marked(prompt: Prompt, example: EncodedExample, shared: bool, numeric: bool = False) -> list[str]:
    return [
        TOKENIZER.convert_ids_to_tokens(token)
        for token, mark in zip(prompt.ids, example.marks, strict=True)
        if MARKS[mark] == (shared, numeric)
    ]


def shared_words(prompt: Prompt, example: EncodedExample) -> list[str]:
    return marked(prompt, example, shared=True)


def test_words_of_query_and_title_are_told_and_no_others() -> None:
    text = json.dumps({"query": "blue steel mug", "product": "Mug of steel, a steel product"})
    assert shared_words(*encoded("PSI", text)) == ["steel", "mug", "mug", "steel", "steel"]


def test_words_and_model_codes_that_differ_are_told_as_such() -> None:
    record = {"title": "acme digital performer dp5 2007", "manufacturer": "acme", "price": "5"}
    other = {**record, "title": "digital performer dp7, 2007"}
    prompt, example = encoded("PM", json.dumps({"product 1": record, "product 2": other}))
    assert marked(prompt, example, shared=True) == ["digital", "performer"] * 2
    assert marked(prompt, example, shared=True, numeric=True) == ["2007", "2007"]
    assert marked(prompt, example, shared=False, numeric=True) == ["d", "##p", "##5", "d", "##p", "##7"]
    assert marked(prompt, example, shared=False) == ["ac", "##me"]


def test_a_single_text_is_not_marked() -> None:
    _, example = encoded("SA", "a fine mug, 5 stars", json.dumps([f"{letter}: {letter}" for letter in "ABCDE"]))
    assert set(example.marks) == {0}


def test_words_that_only_options_share_are_not_told() -> None:
    history = repr(["1st: blue mug.", "2nd: tea tin."])
    options = repr(["A: red pot.", "B: red mug.", "C: wool hat."])
    prompt, example = encoded("SR", history, options)
    words = shared_words(prompt, example)
    assert "mug" in words
    assert not {"red", "pot", "wool", "tea"} & set(words)


def test_review_snippets_count_as_one_text() -> None:
    text = json.dumps({"question": "is it quiet", "document": ["a loud fan", "this fan hums"]})
    words = shared_words(*encoded("AP", text))
    assert "fan" not in words


def test_the_question_of_a_ranking_is_all_but_its_products() -> None:
    text = json.dumps({"query": "blue mug", "product list": ["A: red pot", "B: blue mug"]})
    prompt, example = encoded("QPR", text)
    inside = question_places(make_batch([example], 0))[0]
    kept = TOKENIZER.decode([token for token, keep in zip(prompt.ids, inside.tolist(), strict=True) if keep])
    assert "blue mug" in kept
    assert "red pot" not in kept


def test_the_model_reads_the_marks(tiny_base: object) -> None:
    from ecellm.models.xs.model import warm_start

    model: XSModel = warm_start(tiny_base).eval()  # type: ignore[arg-type]
    _, example = encoded("PSI", json.dumps({"query": "blue mug", "product": "Mug"}))
    with torch.no_grad():
        before = model.states(make_batch([example], 0))
        model.marks.weight[1:].copy_(torch.linspace(-1, 1, model.sizes.hidden_size))
        after = model.states(make_batch([example], 0))
        example.marks = [0] * len(example.marks)
        unmarked = model.states(make_batch([example], 0))
    assert unmarked == pytest.approx(before, abs=1e-6)
    assert not torch.allclose(before, after, atol=1e-3)
