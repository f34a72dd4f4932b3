"""XS's free text: quoted where the question comes with snippets, written where it does not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.data.dataset import Dataset
from ecellm.models.base import Request
from ecellm.models.xs.generator import XSGenerator
from ecellm.models.xs.quotes import closest_snippet, snippets_of
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune
from ecellm.types import Example, Question

TEXTS = st.lists(st.text(min_size=1), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Recipe, tiny_data: Dataset) -> XSGenerator:
    folder = tmp_path_factory.mktemp("quotes") / "model"
    short = tiny_recipe.optimisation.model_copy(update={"epochs": 0.5})
    tune(tiny_recipe.model_copy(update={"optimisation": short}), tiny_data, folder)
    return XSGenerator.from_folder(folder)


def asked(generator: XSGenerator, snippets: list[str], question: str = "How loud is the fan?") -> tuple[str, int]:
    """Return the answer, and how many snippets the prompt shows."""
    text = json.dumps({"question": question, "document": snippets})
    put = Question(Example("AG-1", "AG", "IND", "test", text, None, ""), "Answer the question.")
    (prompt,) = generator.prompts([put])
    (reply,) = generator.reply([Request(put, prompt)])
    return reply.text, sum(mark.name == "snippet" for mark in prompt.marks)


@given(TEXTS, st.data())
def test_a_snippet_that_is_the_reference_is_the_closest(snippets: list[str], data: st.DataObject) -> None:
    reference = data.draw(st.sampled_from(snippets))
    place = closest_snippet(snippets, f"{reference} fan")
    assert place < len(snippets)
    words = "It hums at night, but you can sleep."
    assert closest_snippet([*snippets, words], words) in (len(snippets), *range(snippets.count(words)))


def test_the_first_of_equally_close_snippets_is_taken() -> None:
    assert closest_snippet(["red", "a fan hums", "hums a fan"], "a fan hums") == 1


def test_an_answer_is_one_of_the_snippets(generator: XSGenerator) -> None:
    snippets = ["Hardly a hum.", "So quiet that we sleep next to it.", "Came in a large box."]
    assert asked(generator, snippets)[0] in snippets


def test_a_snippet_that_was_dropped_from_the_prompt_is_not_quoted(generator: XSGenerator) -> None:
    snippets = [f"Snippet {number} says that it hums " + "and hums " * 30 for number in range(20)]
    answer, shown = asked(generator, snippets)
    assert 0 < shown < len(snippets)
    assert answer in [snippet.strip() for snippet in snippets[:shown]]


def test_where_a_long_question_leaves_no_room_for_snippets_one_is_quoted_all_the_same(
    generator: XSGenerator,
) -> None:
    snippets = ["Hardly a hum.", "So quiet that we sleep next to it."]
    assert asked(generator, snippets, "word " * 400 + "How loud is the fan?")[0] in snippets


@pytest.mark.parametrize("snippets", [[], [""], ["", " ", "Hardly a hum."]])
def test_without_snippets_or_where_one_is_blank_an_answer_is_written(
    generator: XSGenerator, snippets: list[str]
) -> None:
    answer = asked(generator, snippets)[0]
    assert answer and answer not in snippets


def test_an_input_of_another_form_has_no_snippets() -> None:
    assert snippets_of(Example("AG-1", "AG", "IND", "test", "Is it loud?", None, "")) == ()
