"""XS: what a token may see, that batches do not change answers, and its scores against enumeration."""

import math
from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from transformers import AutoTokenizer

from ecellm.data.dataset import Dataset
from ecellm.models.base import Request
from ecellm.models.cpu_attention import cpu_attention
from ecellm.models.xs.examples import CHOICE, SPANS, TEXT, EncodedExample, encode_example, find_all
from ecellm.models.xs.generator import XSGenerator, plackett_luce
from ecellm.models.xs.model import (
    XSModel,
    make_batch,
    prefix_mask,
    span_means,
    warm_start,
)
from ecellm.models.xs.pointers import WordScores
from ecellm.models.xs.spans import multi_label_loss, value_spans
from ecellm.prompts import named_template, render_all
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> XSModel:
    torch.manual_seed(1)
    return warm_start(tiny_base).eval()


@pytest.fixture(scope="module")
def examples(tiny_base: Path, tiny_data: Dataset) -> list[EncodedExample]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    rows = tiny_data.view("IND_Diverse_Instruction", "train")
    prompts = render_all(rows, named_template("compact"), tokenizer, 200)
    return [encode_example(question, prompt, tokenizer, 20) for question, prompt in zip(rows, prompts, strict=True)]


def test_prompt_tokens_see_the_prompt_and_response_tokens_what_came_before() -> None:
    mask = prefix_mask(torch.tensor([2, 3]), torch.tensor([4, 3]), 4)[:, 0] == 0
    assert mask[0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert mask[1, :3].int().tolist() == [[1, 1, 1, 0]] * 3


def test_a_later_response_token_changes_nothing_before_it(model: XSModel) -> None:
    def states(response: list[int]) -> torch.Tensor:
        return model.states(make_batch([EncodedExample(TEXT, "AG", [101, 2003, 102], response=response)], 0))

    with torch.no_grad():
        assert torch.allclose(states([2009, 2010, 2011])[:, :5], states([2009, 2010, 3000])[:, :5], atol=1e-6)
        assert not torch.allclose(states([2009, 2010])[:, 4], states([3000, 2010])[:, 4], atol=1e-4)


def test_the_loss_of_a_row_is_the_same_alone_and_in_a_batch(model: XSModel, examples: list[EncodedExample]) -> None:
    with torch.no_grad():

        def losses(rows: list[EncodedExample]) -> list[float]:
            batch = make_batch(rows, 0)
            return list(model(batch.ids, batch.prompt_lengths, batch.lengths, rows).tolist())

        together = losses(examples[:18])
        alone = [losses([row])[0] for row in examples[:18]]
    assert together == pytest.approx(alone, abs=1e-4)


def test_prompts_read_end_to_end_have_the_states_of_padded_ones(
    model: XSModel, examples: list[EncodedExample]
) -> None:
    prompts = [replace(example, response=[]) for example in examples[:18]]
    with torch.no_grad():
        padded = model.states(make_batch(prompts, 0))
        alone = [model.prompt_states([prompt])[0] for prompt in prompts]
        together = model.prompt_states(prompts)
    for row, (prompt, one, other) in enumerate(zip(prompts, together, alone, strict=True)):
        length = len(prompt.ids)
        assert one.shape == other.shape == (length, padded.shape[-1])
        for expected in (other, padded[row, :length]):
            assert torch.allclose(one, expected, atol=1e-5)


def test_the_warm_start_keeps_every_weight_of_the_stack(tiny_base: Path, model: XSModel) -> None:
    from safetensors.torch import load_file

    stack = model.bert.state_dict()
    for name, weight in load_file(tiny_base / "model.safetensors").items():
        assert torch.equal(stack[name], weight), name


def test_cpu_attention_equals_torchs_own() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 8) for _ in range(3))
    mask = prefix_mask(torch.tensor([2, 4]), torch.tensor([5, 5]), 5)
    ours, _ = cpu_attention(torch.nn.Module().eval(), query, key, value, mask, scaling=8**-0.5)
    theirs = functional.scaled_dot_product_attention(query, key, value, mask)
    assert torch.allclose(ours, theirs.transpose(1, 2), atol=1e-5)


def test_examples_point_at_letters_attributes_and_values(tiny_base: Path, examples: list[EncodedExample]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    by_task = {example.task: example for example in examples}
    recommended = by_task["SR"]
    assert [tokenizer.decode([recommended.ids[start]]) for start, _ in recommended.options] == list(
        "abcdefghijklmnopqrst"
    )
    extracted = by_task["AVE"]
    assert [tokenizer.decode(extracted.ids[start:end]) for start, end in extracted.attributes] == ["color", "weight"]
    ((start, end),) = extracted.values[0]
    assert tokenizer.decode(extracted.ids[start:end]) in ("red", "blue", "green", "black")
    assert extracted.values[1] == [] and extracted.kind == SPANS
    assert by_task["PM"].kind == CHOICE and by_task["PM"].options == []


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=4))
def test_plackett_luce_is_a_distribution_over_orders(scores: list[float]) -> None:
    values = np.array(scores)
    total = sum(math.exp(plackett_luce(values[list(order)])) for order in permutations(range(len(scores))))
    assert total == pytest.approx(1)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 5))
def test_value_spans_lie_apart_and_above_none_and_begin_with_the_best(seed: int, first: int, second: int) -> None:
    torch.manual_seed(seed)
    length = 1 + first + second
    start, end = torch.randn(length + 1), torch.randn(length + 1)
    fields = [(1, 1 + first), (1 + first, length)]
    found = {
        (left, right + 1): float(start[left] + end[right])
        for begin, after in fields
        for left in range(begin, after)
        for right in range(left, after)
    }
    none = float(start[-1] + end[-1])
    above = {span for span, score in found.items() if score > none}
    chosen = value_spans(start, end, fields)
    assert set(chosen) <= above
    assert (max(found, key=lambda span: found[span]) in chosen) == bool(above)
    assert all(one[1] <= other[0] for one, other in pairwise(chosen))
    # No more could be chosen: every other span above None overlaps one of a greater score.
    for span in above - set(chosen):
        assert any(span[0] < one[1] and one[0] < span[1] and found[one] >= found[span] for one in chosen)


def test_the_multi_label_loss_asks_for_right_places_above_the_threshold_and_others_below_it() -> None:
    right = torch.tensor([[True, False, True, False], [False, False, False, False]])
    good = torch.tensor([[9.0, -9.0, 9.0, 0.0], [-9.0, -9.0, -9.0, 0.0]])
    assert multi_label_loss(good, right).tolist() == pytest.approx([0, 0], abs=1e-3)
    one_missed = torch.tensor([[9.0, -9.0, -9.0, 0.0], [-9.0, 9.0, -9.0, 0.0]])
    assert multi_label_loss(one_missed, right).tolist() == pytest.approx([9, 9], abs=1e-3)
    # A threshold moves with all scores: only differences count.
    assert multi_label_loss(good + 3, right).tolist() == pytest.approx(multi_label_loss(good, right).tolist())


def test_span_means_average_each_span() -> None:
    states = torch.arange(8.0).view(1, 4, 2)
    assert span_means(states, [[(0, 2), (3, 4)]], 3)[0].tolist() == [[1, 2], [6, 7], [0, 0]]


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=3))
def test_find_all_finds_every_place(ids: list[int], wanted: list[int]) -> None:
    expected = [
        (place, place + len(wanted))
        for place in range(len(ids) - len(wanted) + 1)
        if wanted and ids[place : place + len(wanted)] == wanted
    ]
    assert find_all(wanted, ids, 0, len(ids)) == expected


def test_a_tuned_models_answers_do_not_depend_on_the_batch(
    tiny_recipe: Recipe, tiny_data: Dataset, tmp_path: Path
) -> None:
    short = tiny_recipe.optimisation.model_copy(update={"epochs": 0.5})
    tune(tiny_recipe.model_copy(update={"optimisation": short}), tiny_data, tmp_path / "model")
    generator = XSGenerator.from_folder(tmp_path / "model")
    rows = tiny_data.view("IND_Unseen_Instruction")
    questions = [Request(one, prompt) for one, prompt in zip(rows, generator.prompts(rows), strict=True)]
    together = generator.reply(questions)
    backwards = generator.reply(questions[::-1])[::-1]
    alone = [generator.reply([question])[0] for question in questions]
    assert (
        [reply.text for reply in together] == [reply.text for reply in alone] == [reply.text for reply in backwards]
    )
    for one, other in zip(together, alone, strict=True):
        assert (one.probability is None) == (other.probability is None)
        if one.probability is not None:
            assert one.probability == pytest.approx(other.probability, abs=1e-5)
        if one.scores:
            assert sum(one.scores.values()) == pytest.approx(1)


def test_the_pointers_begin_as_dot_products(model: XSModel) -> None:
    states = torch.randn(2, 3, 32)
    for pointer in (model.option_pointer, model.start_pointer, model.end_pointer, model.copy_pointer):
        expected = states @ states.transpose(1, 2) / 32**0.5
        assert torch.allclose(pointer(states, states), expected, atol=1e-5)


def test_the_likeliest_word_may_be_excluded() -> None:
    written = torch.tensor([[[0.5, 0.3, 0.2]]]).log()
    scores = WordScores(written, torch.full((1, 1, 1), 0.4).log(), torch.tensor([[0]]))
    assert scores.best().item() == 0
    assert scores.best(excluded=0).item() == 1
