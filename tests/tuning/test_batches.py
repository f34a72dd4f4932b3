"""Token-budget batches: every row once an epoch, within the budget, as many batches each epoch."""

from hypothesis import given
from hypothesis import strategies as st

from ecellm.tuning.batches import BUCKET, TokenBatches


@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.integers(200, 900), st.integers(0, 3))
def test_every_row_once_within_the_budget_in_a_steady_number_of_batches(
    lengths: list[int], budget: int, epoch: int
) -> None:
    batches = TokenBatches(lengths, budget, seed=1)
    count = len(batches)
    batches.set_epoch(epoch)
    found = list(batches)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    assert len(found) == count == len(batches)
    for batch in found:
        width = max(-(-lengths[row] // BUCKET) * BUCKET for row in batch)
        assert len(batch) == 1 or len(batch) * width <= budget


def test_epochs_differ_and_an_epoch_is_the_same_again() -> None:
    batches = TokenBatches([10] * 60, 100, seed=1)
    first = list(batches)
    batches.set_epoch(1)
    second = list(batches)
    assert first != second
    batches.set_epoch(0)
    assert list(batches) == first
