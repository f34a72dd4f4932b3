"""Training examples are varied: what is dropped, what never is, and that places still point to the same words."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from ecellm.models.minilm import minilm_folder
from ecellm.models.xs.augmentation import Augmentation
from ecellm.models.xs.examples import EncodedExample, Span, encode_example
from ecellm.models.xs.shortening import without_words
from ecellm.prompts import named_template, render
from ecellm.tasks import TASKS
from ecellm.types import Example, Question

TOKENIZER = AutoTokenizer.from_pretrained(minilm_folder())


def example_of(task: str, text: str, output: str, options: str | None = None) -> Example:
    row = Question(Example("1", task, "IND", "train", text, options, output), TASKS[task].instructions[0])
    return encode_example(row, render(row, named_template("compact"), TOKENIZER, 300), TOKENIZER, 40)


def values_example() -> Example:
    product = {"product title": "dark blue steel mug by acme", "target attributes": "Color and Brand"}
    values = [
        {"attribute": "color", "value": "dark blue", "source": "product title"},
        {"attribute": "brand", "value": "acme", "source": "product title"},
    ]
    return example_of("AVE", json.dumps(product), json.dumps(values))


def read(example: EncodedExample, spans: Sequence[Span]) -> list[str]:
    return [TOKENIZER.decode(example.ids[start:end]) for start, end in spans]


MATCH = json.dumps(
    {
        "product 1": {"title": "acme player v7", "manufacturer": "acme", "price": "5"},
        "product 2": {"title": "acme player v8 blue", "manufacturer": "nan", "price": "7"},
    }
)
CHOICES = repr(["A: red pot.", "B: red mug.", "C: wool hat."])
HISTORY = repr(["1st: blue mug.", "2nd: tea tin."])


@given(st.sets(st.integers(0, 20)))
@settings(max_examples=30)
def test_places_point_to_the_same_words_whatever_is_dropped(chosen: set[int]) -> None:
    example = example_of("SR", HISTORY, "B", CHOICES)
    gone = [word for place, word in enumerate(example.words) if place in chosen]
    less = without_words(example, gone, TOKENIZER)
    kept = [word for place, word in enumerate(example.words) if place not in chosen]
    assert read(less, [(word.start, word.end) for word in less.words]) == read(
        example, [(word.start, word.end) for word in kept]
    )
    assert len(less.ids) == len(example.ids) - sum(word.end - word.start for word in gone)
    assert [text[0] for text in read(less, less.options)] == ["a", "b", "c"]
    assert (less.label, less.tokens, len(less.marks)) == (example.label, example.tokens, len(less.ids))


def test_a_word_that_only_one_text_has_left_is_marked_as_different() -> None:
    example = example_of("PM", MATCH, "no")
    player = [word for word in example.words if read(example, [(word.start, word.end)]) == ["player"]]
    assert len(player) == 2
    assert example.marks[player[0].start] == example.marks[player[1].start]
    less = without_words(example, player[1:], TOKENIZER)
    assert less.marks[player[0].start] != example.marks[player[0].start]


def test_values_that_are_to_be_found_are_never_dropped() -> None:
    example = values_example()
    augmentation = Augmentation(TOKENIZER, word_dropout=0.9, seed=1)
    for epoch in range(20):
        less = augmentation(example, epoch)
        assert len(less.ids) < len(example.ids)
        assert [read(less, spans) for spans in less.values] == [read(example, spans) for spans in example.values]
        assert read(less, less.attributes) == read(example, example.attributes)


def test_a_known_value_that_lost_a_word_is_forgotten() -> None:
    example = values_example()
    (span,) = example.values[0]
    example.trusted = [(0, span, 1.0)]
    inside = next(word for word in example.words if word.start == span[0])
    outside = next(word for word in example.words if word.start >= span[1])
    assert without_words(example, [inside], TOKENIZER).trusted == []
    ((_, moved, score),) = without_words(example, [outside], TOKENIZER).trusted
    assert (moved, score) == (span, 1.0)


def test_a_text_keeps_a_word() -> None:
    example = example_of("PM", MATCH, "no")
    less = Augmentation(TOKENIZER, word_dropout=0.99, seed=1)(example, 0)
    assert {word.text for word in less.words} == {word.text for word in example.words}


def test_the_same_epoch_shows_the_same_and_another_one_something_else() -> None:
    example = example_of("SA", "a fine blue mug that keeps my tea hot for hours", "A", HISTORY)
    augmentation = Augmentation(TOKENIZER, word_dropout=0.3, seed=1)
    assert augmentation(example, 3) == augmentation(example, 3)
    assert len({tuple(augmentation(example, epoch).ids) for epoch in range(10)}) > 5


def test_free_texts_are_left_as_they_are() -> None:
    text = json.dumps({"question": "is it quiet", "document": ["a loud fan", "this fan hums"]})
    example = example_of("AG", text, "it hums loudly")
    assert Augmentation(TOKENIZER, word_dropout=0.5, seed=1)(example, 0) is example


def test_without_a_rate_an_example_stays_as_it_is() -> None:
    example = example_of("PM", MATCH, "no")
    assert Augmentation(TOKENIZER, word_dropout=0.0, seed=1)(example, 0) is example


def test_two_records_are_seen_in_both_orders() -> None:
    example = example_of("PM", MATCH, "no")
    sample = Example("1", "PM", "IND", "train", MATCH, None, "no")
    exchanged = TASKS["PM"].exchanged
    assert exchanged is not None
    other = exchanged(sample)
    assert list(json.loads(other.input)) == ["product 1", "product 2"]
    assert json.loads(other.input)["product 1"] == json.loads(MATCH)["product 2"]
    assert exchanged(other).input == MATCH
    example.weight, example.mirrored = 2.0, example_of("PM", other.input, "no")
    augmentation = Augmentation(TOKENIZER, word_dropout=0.0, seed=1)
    seen = [augmentation(example, epoch) for epoch in range(20)]
    assert {tuple(one.ids) for one in seen} == {tuple(example.ids), tuple(example.mirrored.ids)}
    assert {one.weight for one in seen} == {2.0}


@pytest.mark.parametrize("task", sorted(TASKS))
def test_only_symmetric_tasks_are_seen_in_both_orders(task: str) -> None:
    assert (TASKS[task].exchanged is not None) == (task == "PM")
