"""Cells of columns: what a cell means does not depend on the others of its column."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.io.tables.cells import KINDS, values_of

#: What some readers of numbers and times take and others do not.
FORMS = (
    *("5", "-5", "+5", " 5", "5 ", "\t5\n", "007", "-0", "5.0", "5.", ".5", "4.5", "1e3", "1E3", "5_0", "5,000"),
    *("0x5", "0X5", "-0x5", "0b1", "0o7", "５", "٣", "²", "½", "inf", "-inf", "nan", "NaN", "null", "true", ""),  # noqa: RUF001
    *("1700000000", "1700000000000", "0x6553f100", "+1700000000", " 1700000000", "1.7e9", "1_700_000_000"),
    *("2023-11-14", "2023-11-14T22:13:20Z", "１７００００００００", "9223372036854775807", "9223372036854775808"),  # noqa: RUF001
    *("-9223372036854775808", "631151999", "631152000", "[1]", '["5"]', "no", "\ud800"),
)
CELLS = st.lists(st.one_of(st.none(), st.sampled_from(FORMS), st.integers().map(str)), max_size=6)


def read(kind: str, cells: Sequence[object]) -> list[object]:
    """Return each value, "wrong" where it is not of the kind."""
    values, wrong = values_of(KINDS[kind], cells)
    return ["wrong" if place in wrong else value for place, value in enumerate(values.to_pylist())]


@pytest.mark.parametrize("kind", KINDS)
@given(cells=CELLS)
def test_the_cells_of_a_column_are_read_as_each_alone_is(kind: str, cells: list[str | None]) -> None:
    assert read(kind, cells) == [value for cell in cells for value in read(kind, [cell])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", FORMS)
def test_a_cell_among_whole_numbers_is_read_as_among_others(kind: str, cell: str) -> None:
    alone = read(kind, [cell])
    assert read(kind, [cell, "1700000000"])[:1] == alone
    assert read(kind, [cell, "no", "2023-11-14", "5.0"])[:1] == alone


@pytest.mark.parametrize("cell", ["0x6553f100", "0X5", "0b1", "1_700_000_000", "inf", "nan"])
def test_forms_of_programs_are_no_numbers_and_no_times(cell: str) -> None:
    for kind in ("number", "time", "stars"):
        assert read(kind, [cell]) == ["wrong"]
    assert read("time", [cell, "1700000000"]) == ["wrong", 1_700_000_000]
