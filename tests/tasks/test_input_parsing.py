"""Taking inputs apart: the pieces always join to the text, and say what may be cut, when and how."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.tasks import TASKS
from ecellm.tasks.input_parsing import Path, Truncation, json_pieces, labelled, option_pieces, whole
from ecellm.tasks.mpc import OPTIONS
from ecellm.tasks.task import Piece, Pieces
from ecellm.types import Example

PUBLISHED: dict[str, Any] = {
    "PM": {
        "product 1": {"title": "photo tool", "description": math.nan, "manufacturer": "nan", "price": "9.99"},
        "product 2": {"title": "photo tool 2", "description": "edit it", "manufacturer": "acme", "price": "10"},
    },
    "MPC": {"query": "usb hub", "product title": "Hub, 4 ports"},
    "PSI": {"query": "usb hub", "product": "Hub, 4 ports"},
    "QPR": {"query": "usb hub", "product list": ["A: wallet", 'B: "Hub"']},
    "AP": {"question": "is it loud?", "document": ["very quiet", "I love it", "no noise"]},
    "AG": {"question": "is it loud?", "document": ["very quiet"]},
}


def example(task: str, text: str, options: str | None = None) -> Example:
    return Example("1", task, "IND", "test", text, options, "yes")


def joined(pieces: tuple[Piece, ...]) -> str:
    return "".join(piece.text for piece in pieces)


def split(task: str, value: Any, options: str | None = None) -> Pieces:
    return TASKS[task].pieces(example(task, json.dumps(value), options))


def ranks(pieces: tuple[Piece, ...]) -> dict[str, tuple[int | None, str]]:
    """Return rank and how of what may be cut."""
    return {piece.text: (piece.rank, piece.how) for piece in pieces if piece.rank is not None}


def marks(pieces: tuple[Piece, ...]) -> dict[str, str]:
    return {piece.text: piece.mark for piece in pieces if piece.mark is not None}


@pytest.mark.parametrize("task", PUBLISHED)
def test_a_published_input_comes_apart_and_joins_again(task: str) -> None:
    options = json.dumps(OPTIONS) if task == "MPC" else None
    pieces = split(task, PUBLISHED[task], options)
    assert joined(pieces.input) == json.dumps(PUBLISHED[task])
    assert joined(pieces.options) == (options or "")
    assert len(pieces.input) > 2 and all(piece.text for piece in pieces.input)


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
named = st.dictionaries(
    st.sampled_from(["question", "document", "query", "product", "product title", "product list", "product 1"]), trees
)


@settings(max_examples=200)
@given(task=st.sampled_from(list(PUBLISHED)), value=trees | named, ascii=st.booleans(), tight=st.booleans())
def test_whatever_an_imported_input_looks_like_its_pieces_join_to_it(
    task: str, value: Any, ascii: bool, tight: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii, separators=(",", ":") if tight else None)
    pieces = TASKS[task].pieces(example(task, text, options=text))
    assert joined(pieces.input) == text
    assert joined(pieces.options) == text


@pytest.mark.parametrize("text", ["plain words", "", '{"a":1}', '{"a": 1, "a": 1}', '"a text"', "3", "[" * 10_000])
def test_a_text_of_unknown_form_is_one_piece_that_is_cut_at_its_end(text: str) -> None:
    assert json_pieces(text, lambda path, value: Truncation(rank=5)) == whole(text) == (Piece(text, 1, "end"),)


def test_values_are_cut_without_their_quotes_and_never_their_layout() -> None:
    def rule(path: Path, value: str) -> Truncation | None:
        return Truncation(rank=2, mark="title") if path == ("record", "title") else None

    assert json_pieces('{"record": {"title": "a \\"b\\"", "price": "5"}}', rule) == (
        Piece('{"record": {"title": "'),
        Piece('a \\"b\\"', rank=2, how="end", mark="title", of="record"),
        Piece('", "price": "5"}}'),
    )


def test_a_dropped_list_item_takes_the_comma_before_it_along() -> None:
    pieces = json_pieces('["a", "b"]', lambda path, value: Truncation(rank=1, how="drop") if path[-1] else None)
    assert pieces == (Piece('["a"'), Piece(', "b"', rank=1, how="drop"), Piece("]"))


def test_the_letter_of_an_option_is_marked_and_its_text_is_cut() -> None:
    letters = option_pieces('["A: mug", "B: "]', 9)
    assert letters == (
        Piece('["'),
        Piece("A", mark="A"),
        Piece(": "),
        Piece("mug", rank=9, how="end"),
        Piece('", "'),
        Piece("B", mark="B"),
        Piece(': "]'),
    )
    assert option_pieces(None, 9) == ()
    assert labelled("no letter", "'", 1) == [Piece("'"), Piece("no letter", rank=1, how="end"), Piece("'")]


def test_pm_cuts_descriptions_then_titles() -> None:
    found = ranks(split("PM", PUBLISHED["PM"]).input)
    assert found == {"photo tool": (2, "end"), "photo tool 2": (2, "end"), "edit it": (1, "end")}


def test_mpc_cuts_the_title_then_the_options_then_the_query() -> None:
    pieces = split("MPC", PUBLISHED["MPC"], json.dumps(OPTIONS))
    found = ranks((*pieces.input, *pieces.options))
    order = sorted(found, key=lambda text: found[text][0] or 0)
    assert order == ["Hub, 4 ports", *(option[3:] for option in OPTIONS), "usb hub"]
    assert {how for _, how in found.values()} == {"end"}
    assert marks(pieces.options) == {letter: letter for letter in "ABCD"}


def test_psi_cuts_the_product_then_the_query() -> None:
    found = ranks(split("PSI", PUBLISHED["PSI"]).input)
    assert list(found) == ["usb hub", "Hub, 4 ports"]
    assert (found["Hub, 4 ports"][0] or 0) < (found["usb hub"][0] or 0)


def test_qpr_marks_the_letters_and_shortens_the_titles_evenly_before_the_query() -> None:
    pieces = split("QPR", PUBLISHED["QPR"])
    found = ranks(pieces.input)
    assert found["wallet"] == found['\\"Hub\\"'] == (1, "end")
    assert (found["usb hub"][0] or 0) > 1
    assert marks(pieces.input) == {"A": "A", "B": "B"}


@pytest.mark.parametrize("task", ["AP", "AG"])
def test_snippets_go_from_the_last_one_on_then_the_first_is_shortened_then_the_question(task: str) -> None:
    pieces = split(task, PUBLISHED["AP"]).input
    assert ranks(pieces) == {
        ', "I love it"': (1, "drop"),
        ', "no noise"': (1, "drop"),
        "very quiet": (2, "end"),
        "is it loud?": (3, "end"),
    }
    assert marks(pieces) == dict.fromkeys(["very quiet", ', "I love it"', ', "no noise"'], "snippet")
