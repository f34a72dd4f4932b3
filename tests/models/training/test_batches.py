"""Token-budget batches: every row once an epoch, of one task, within the budget, as many batches each epoch."""

from hypothesis import given
from hypothesis import strategies as st

from ecellm.models.training.batches import BUCKET, TokenBatches

ROWS = st.lists(st.tuples(st.integers(1, 200), st.sampled_from(["PM", "SA"])), min_size=1, max_size=80)


@given(ROWS, st.integers(200, 900), st.integers(0, 3))
def test_every_row_once_within_the_budget_in_a_steady_number_of_batches_of_one_task(
    rows: list[tuple[int, str]], budget: int, epoch: int
) -> None:
    lengths, tasks = [length for length, _ in rows], [task for _, task in rows]
    batches = TokenBatches(lengths, tasks, budget, seed=1)
    count = len(batches)
    batches.set_epoch(epoch)
    found = list(batches)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    assert len(found) == count == len(batches)
    for batch in found:
        width = max(-(-lengths[row] // BUCKET) * BUCKET for row in batch)
        assert len(batch) == 1 or len(batch) * width <= budget
        assert len({tasks[row] for row in batch}) == 1


def test_epochs_differ_and_an_epoch_is_the_same_again() -> None:
    batches = TokenBatches([10] * 60, ["PM"] * 60, 100, seed=1)
    first = list(batches)
    batches.set_epoch(1)
    second = list(batches)
    assert first != second
    batches.set_epoch(0)
    assert list(batches) == first


@given(ROWS, st.integers(200, 900), st.integers(1, 20), st.integers(0, 3))
def test_a_large_task_shows_so_many_rows_an_epoch_and_all_in_turn(
    rows: list[tuple[int, str]], budget: int, most: int, epoch: int
) -> None:
    lengths, tasks = [length for length, _ in rows], [task for _, task in rows]
    batches = TokenBatches(lengths, tasks, budget, seed=1, task_rows=most)
    count = len(batches)
    seen: set[int] = set()
    for number in range(len(rows)):
        batches.set_epoch(number)
        shown = [row for batch in batches for row in batch]
        assert len(batches) == count
        assert len(shown) == len(set(shown))
        seen |= set(shown)
        for task in set(tasks):
            # Each bucket of like length gives its share, rounded, and at least one row.
            buckets = len({-(-length // BUCKET) for length, other in rows if other == task})
            assert sum(tasks[row] == task for row in shown) <= min(most, tasks.count(task)) + buckets
    assert seen == set(range(len(rows)))
    batches.set_epoch(epoch)
    assert batches.tokens() == sum(lengths[row] for batch in batches for row in batch)
