"""SR: how histories are numbered, and how a row is taken apart for the prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.tasks.sr import ordinal, pieces
from ecellm.types import Example

TEXTS = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (21, "21st"),
        (22, "22nd"),
    ],
)
def test_ordinals(number: int, text: str) -> None:
    assert ordinal(number) == text


@given(TEXTS, TEXTS)
def test_pieces_join_to_the_row_whatever_its_quotes(history: list[str], options: list[str]) -> None:
    shown = repr([f"{ordinal(place)}: {text}" for place, text in enumerate(history, 1)])
    lettered = repr([f"{letter}: {text}" for letter, text in zip("ABCDEF", options, strict=False)])
    example = Example("x", "SR", "IND", "test", shown, lettered, "A")
    parts = pieces(example)
    assert "".join(piece.text for piece in parts.input) == shown
    assert "".join(piece.text for piece in parts.options) == lettered
    assert [piece.mark for piece in parts.options if piece.mark] == list("ABCDEF"[: len(options)])


def test_the_oldest_purchases_are_dropped_first_and_the_newest_only_after_the_options_were_shortened() -> None:
    shown = repr([f"{ordinal(place)}: item {place}" for place in range(1, 7)])
    parts = pieces(Example("x", "SR", "IND", "test", shown, repr(["A: one", "B: two"]), "A"))
    ranks = [piece.rank for piece in parts.input if piece.how == "drop" and piece.rank is not None]
    bodies = {piece.rank for piece in parts.options if piece.rank is not None}
    assert ranks == sorted(ranks) and len(bodies) == 1
    assert [rank > min(bodies) for rank in ranks] == [False, False, False, True, True, True]
