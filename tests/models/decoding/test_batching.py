"""Which rows are read together: all are there once, little of what is read is padding, and no pass is too large."""

from hypothesis import given
from hypothesis import strategies as st

from ecellm.models.decoding.batching import FEW_ON_CPU, MANY_ON_CPU, MAX_PADDING, packed_groups, padded_groups

LENGTHS = st.lists(st.integers(1, 600), max_size=64)


@given(LENGTHS)
def test_every_row_is_read_once_and_the_longest_first(lengths: list[int]) -> None:
    groups = padded_groups(lengths, "cpu")
    rows = [row for group in groups for row in group]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)


@given(LENGTHS)
def test_a_group_with_tokens_enough_takes_only_a_little_padding(lengths: list[int]) -> None:
    for group in padded_groups(lengths, "cpu"):
        tokens = sum(lengths[row] for row in group)
        before = tokens - lengths[group[-1]]
        padding = lengths[group[0]] * len(group) - tokens
        assert before < FEW_ON_CPU or padding <= MAX_PADDING * before
        assert before < FEW_ON_CPU or lengths[group[0]] * len(group) <= MANY_ON_CPU


def test_an_accelerator_reads_more_at_once() -> None:
    lengths = list(range(200, 100, -1))
    assert len(padded_groups(lengths, "cuda")) == 2 < len(padded_groups(lengths, "cpu"))


@given(LENGTHS)
def test_rows_end_to_end_are_read_once_in_as_few_passes_as_hold_them(lengths: list[int]) -> None:
    groups = packed_groups(lengths, "cpu")
    rows = [row for group in groups for row in group]
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True) and sorted(rows) == list(
        range(len(lengths))
    )
    tokens = [sum(lengths[row] for row in group) for group in groups]
    assert all(count <= MANY_ON_CPU for count in tokens)
    assert all(one + lengths[later[0]] > MANY_ON_CPU for one, later in zip(tokens, groups[1:], strict=False))
