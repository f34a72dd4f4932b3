"""The five answer types: what each prints, takes strictly, takes the published way, and enumerates."""

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.errors import EcellmError
from ecellm.tasks.answers import LETTERS, FreeText, Letter, Ranking, Triples, YesNo, option_texts
from ecellm.tasks.metrics import GAINS
from ecellm.types import Example

FIVE = json.dumps(["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"])
TWENTY = repr([f"{letter}: Paul's item {letter}. Toys." for letter in LETTERS[:20]])
RANKED = json.dumps({"query": "usb hub", "product list": ["A: wallet", "B: hub", "C: cable"]})
TARGETS = json.dumps({"product title": "Red mug", "target attributes": "Color and Material"})

SA = Letter("ABCDE", whole_option=True)
SR = Letter(LETTERS[:20], first_character=False)


def example(options: str | None = None, input: str = "text") -> Example:
    return Example("X-IND-1", "X", "IND", "test", input, options, "A")


def test_options_are_read_from_json_and_from_a_python_repr() -> None:
    assert option_texts(FIVE)[4] == "E: very negative"
    assert option_texts(TWENTY)[19] == "T: Paul's item T. Toys."


@pytest.mark.parametrize("text", ["", "A: x", "{}", "[1]", '{"a": []}', "{[]: 1}", "print('x')", "[" * 10_000])
def test_options_that_are_no_list_of_texts_are_refused(text: str) -> None:
    with pytest.raises(EcellmError, match="Options are not a list of texts"):
        option_texts(text)


@pytest.mark.parametrize(
    ("text", "strict", "published"),
    [
        ("yes", "yes", "yes"),
        (" No\n", "no", "no"),
        ("YES.", "yes", None),
        ("yes, it is", None, None),
        ("yess", None, None),
        ("", None, None),
    ],
)
def test_yes_or_no(text: str, strict: str | None, published: str | None) -> None:
    answer = YesNo()
    assert (answer.parse(text, example()), answer.parse_published(text)) == (strict, published)
    assert answer.candidates(example()) == ("yes", "no") == tuple(answer.schema(example())["enum"])


@pytest.mark.parametrize(
    ("text", "strict", "published"),
    [
        ("B", "B", "B"),
        ("b", "B", None),
        ("(B)", "B", None),
        ("B.", "B", "B"),
        (" B: positive\n", "B", "B"),
        ("B: something else", "B", "B"),
        ("B) positive", "B", "B"),
        ("(B) positive", "B", None),
        ("B. positive", "B", "B"),
        ("B\nas the text says", "B", "B"),
        ("Positive", "B", None),
        ("VERY NEGATIVE", "E", None),
        ("Based on the review", None, "B"),
        ("A good product", None, "A"),
        ("a good product", None, None),
        ("A.C. adapter", None, "A"),
        ("A, B", None, "A"),
        ("F", None, None),
        ("The answer is B", None, None),
        ("", None, None),
    ],
)
def test_one_letter_of_five(text: str, strict: str | None, published: str | None) -> None:
    assert SA.parse(text, example(FIVE)) == strict
    assert SA.parse_published(text) == published


@pytest.mark.parametrize(
    ("text", "strict", "published"),
    [
        ("T", "T", "T"),
        ("T:", "T", None),
        ("t", "T", None),
        ("U", None, None),
        ("T.V. stand", None, None),
        ("Paul's item C. Toys.", "C", None),
    ],
)
def test_one_letter_of_twenty_stands_alone_in_the_published_reading(
    text: str, strict: str | None, published: str | None
) -> None:
    assert SR.parse(text, example(TWENTY)) == strict
    assert SR.parse_published(text) == published


def test_letters_reach_as_far_as_the_options() -> None:
    three = example(json.dumps(["A: bought", "B: viewed", "C: similar"]))
    answer = Letter("ABCDE")
    assert answer.parse("D", three) is None and answer.parse_published("D") == "D"
    assert answer.candidates(three) == ("A", "B", "C") == tuple(answer.schema(three)["enum"])
    assert SA.candidates(example(FIVE)) == tuple(option_texts(FIVE))
    assert SA.print("D", example(FIVE)) == "D: negative"
    assert SR.print("D", example(TWENTY)) == "D"


def test_an_imported_row_without_options_is_answered_by_its_letter() -> None:
    assert SA.candidates(example()) == ("A", "B", "C", "D", "E")
    assert SA.print("B", example()) == "B"
    assert SA.parse("B: positive", example()) == "B"


@given(st.lists(st.text(min_size=1), min_size=1, max_size=20), st.data())
def test_every_printed_option_is_read_back(bodies: list[str], data: st.DataObject) -> None:
    options = [f"{letter}: {body}" for letter, body in zip(LETTERS, bodies, strict=False)]
    letter = data.draw(st.sampled_from(LETTERS[: len(options)]))
    for text in (json.dumps(options), repr(options)):
        row = example(text)
        for answer in (SA, SR):
            printed = answer.print(letter, row)
            bare = [body.strip().casefold() for body in bodies]
            if printed.casefold() not in bare:  # an option may read like another one's letter
                assert answer.parse(printed, row) == letter
            assert printed in answer.candidates(row)


@pytest.mark.parametrize(
    ("text", "strict", "published"),
    [
        ("B,A,C", ["B", "A", "C"], ["B", "A", "C"]),
        (" B, A, C. ", ["B", "A", "C"], ["B"]),
        ("B,A", None, ["B", "A"]),
        ("B,A,A", None, ["B", "A", "A"]),
        ("B,A,C,D", None, ["B", "A", "C", "D"]),
        ("b,A,,C: cable", None, ["A", "C"]),
        ("BAC", None, ["B"]),
        ("", None, []),
    ],
)
def test_a_ranking(text: str, strict: list[str] | None, published: list[str]) -> None:
    answer = Ranking("product list", GAINS)
    assert answer.parse(text, example(input=RANKED)) == strict
    assert answer.parse_published(text) == published


def test_a_ranking_has_every_order_as_a_candidate() -> None:
    answer, row = Ranking("product list", GAINS), example(input=RANKED)
    assert sorted(answer.candidates(row)) == sorted(",".join(order) for order in permutations("ABC"))
    assert all(answer.parse(text, row) == text.split(",") for text in answer.candidates(row))
    assert answer.print(["C", "A", "B"], row) == "C,A,B"
    assert answer.schema(row) == {"enum": list(answer.candidates(row))}


@pytest.mark.parametrize("input", ["7", '{"product list": "A: mug"}', '{"product list": null}'])
def test_an_input_without_a_list_is_refused(input: str) -> None:
    with pytest.raises(EcellmError, match=r"The input of X-IND-1 has no .*'product list'"):
        Ranking("product list", GAINS).letters(example(input=input))


@pytest.mark.parametrize("input", ["", "[]", "{}", '"product list"', "[" * 10_000])
def test_an_input_of_another_form_is_refused_in_one_sentence(input: str) -> None:
    with pytest.raises(EcellmError, match="The input of X-IND-1 has no 'product list'"):
        Ranking("product list", GAINS).letters(example(input=input))
    with pytest.raises(EcellmError, match="The input of X-IND-1 has no 'target attributes'"):
        Triples().attributes(example(input=input))


RED = {"attribute": "color", "value": "red", "source": "product title"}


@pytest.mark.parametrize(
    ("read", "strict"),
    [
        ([], []),
        ([RED, RED], [RED, RED]),
        ([{**RED, "note": "seen"}], [RED]),
        ([{**RED, "value": None}], None),
        ([{"attribute": "color"}], None),
        (["red"], None),
        (RED, None),
        ("red", None),
    ],
)
def test_triples_are_a_list_of_objects_with_three_texts(read: Any, strict: list[Any] | None) -> None:
    answer = Triples()
    assert answer.parse(json.dumps(read), example(input=TARGETS)) == strict
    assert answer.parse_published(json.dumps(read)) == (read if isinstance(read, list) else [])


@pytest.mark.parametrize("text", ["", "red", "[{'attribute': 'color'}]", "[" * 10_000])
def test_triples_that_are_not_json_are_invalid(text: str) -> None:
    assert Triples().parse(text, example(input=TARGETS)) is None
    assert Triples().parse_published(text) is None


def test_triples_print_as_json_and_know_their_attributes() -> None:
    answer, row = Triples(), example(input=TARGETS)
    assert answer.attributes(row) == ["Color", "Material"]
    assert answer.print([RED], row) == '[{"attribute": "color", "value": "red", "source": "product title"}]'
    assert answer.parse(answer.print([RED], row), row) == [RED]
    assert answer.candidates(row) is None
    assert answer.schema(row)["items"]["required"] == ["attribute", "value", "source"]


def test_free_text_is_anything_that_is_not_empty() -> None:
    answer = FreeText()
    assert answer.parse("  It is quiet. ", example()) == "It is quiet."
    assert answer.parse(" \n", example()) is None
    assert answer.parse_published(" It ") == " It "
    assert answer.print("It is quiet.", example()) == "It is quiet."
    assert answer.candidates(example()) is None
    assert answer.schema(example()) == {"type": "string"}
