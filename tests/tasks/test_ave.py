"""AVE: how a row is taken apart for the prompt."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ecellm.tasks.ave import pieces
from ecellm.types import Example


@given(
    title=st.text(min_size=1, max_size=40),
    brand=st.text(max_size=10),
    names=st.lists(st.text("abcxyz /", min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
)
def test_pieces_join_to_the_input_and_mark_fields_and_targets(title: str, brand: str, names: list[str]) -> None:
    text = json.dumps({"product title": title, "product brand": brand, "target attributes": " and ".join(names)})
    example = Example("x", "AVE", "IND", "test", text, None, "[]")
    found = pieces(example).input
    assert "".join(piece.text for piece in found) == text
    joined = " and ".join(names)
    assert [piece.text for piece in found if piece.mark == "attribute"] == joined.split(" and ")
    assert all(piece.rank is None for piece in found if piece.mark in (None, "attribute"))
