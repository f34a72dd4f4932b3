"""Whether edited JSON has the types of a typed record."""

from typing import Any, Literal, NotRequired, TypedDict

import pytest

from ecellm.io.json_types import json_fault


class Inner(TypedDict):
    share: float
    note: NotRequired[str]


class Outer(TypedDict):
    name: str
    kind: Literal["a", "b"]
    parts: list[Inner]
    counts: dict[str, int | None]
    rest: object


WHOLE = {
    "name": "x",
    "kind": "a",
    "parts": [{"share": 1}],
    "counts": {"one": 1, "none": None},
    "rest": [{}],
    "new": 1,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"name": 1}, "name is not a text"),
        ({"kind": "c"}, "kind is none of a, b"),
        ({"parts": {}}, "parts is no list"),
        ({"parts": [{"share": 0.5, "note": None}]}, "parts[0].note is not a text"),
        ({"parts": [{"share": 0.5}, {}]}, "parts[1].share is missing"),
        ({"parts": [{"share": True}]}, "parts[0].share is not a number"),
        ({"parts": [{"share": float("inf")}]}, "parts[0].share is not a number"),
        ({"counts": {"one": 1.5}}, "counts.one is not a whole number"),
    ],
)
def test_the_first_fault_is_named_with_its_place(change: dict[str, Any], said: str) -> None:
    assert json_fault(WHOLE | change, Outer) == said


def test_a_record_that_is_none_and_keys_that_may_lack() -> None:
    assert json_fault([], Outer, where="here") == "here is no object"
    assert json_fault({}, Outer, may_lack=Outer.__required_keys__) == ""
