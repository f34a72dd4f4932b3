"""Which questions of a dataset are predicted: its test rows under each setting, limited, or one shard of them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from ecellm.data.dataset import Dataset, split_setting, spread
from ecellm.errors import DataError
from ecellm.io.hashing import keyed_choice, keyed_hash
from ecellm.types import Question


def questions(
    dataset: Dataset,
    settings: Sequence[str] | None = None,
    tasks: Collection[str] | None = None,
    limit: int | None = None,
) -> dict[str, list[Question]]:
    """Return the test rows to predict, by setting (None: all settings that have rows).

    `limit` is a total, drawn by keyed hash, spread evenly over tasks and, within a task, over settings.
    Raises DataError for an unknown setting, DataError for one without rows, and where there is no row at all.
    """
    for setting in settings or ():
        split_setting(setting)
    names = dataset.settings() if settings is None else settings
    chosen = {setting: dataset.view(setting, "test", tasks) for setting in names}
    empty = [setting for setting, rows in chosen.items() if not rows]
    if len(empty) == len(chosen) or (settings is not None and empty):
        of_tasks = "" if tasks is None else f" of {', '.join(tasks)}"
        named = "" if settings is None else f" under {', '.join(empty)}"
        raise DataError(f"The dataset {dataset.path} has no test rows{of_tasks}{named}.")
    return _limited({setting: rows for setting, rows in chosen.items() if rows}, limit, dataset.seed)


def shard(chosen: Mapping[str, Sequence[Question]], number: int, of: int) -> dict[str, list[Question]]:
    """Return the rows of one shard, counted from 1. A row is in exactly one, with all its settings, by the keyed hash
    of its id alone: shards are the same whatever else is chosen."""
    assert 1 <= number <= of
    return {
        setting: [row for row in rows if keyed_choice(of, "shard", row.example.id) == number - 1]
        for setting, rows in chosen.items()
    }


def _limited(chosen: dict[str, list[Question]], limit: int | None, seed: int) -> dict[str, list[Question]]:
    """Return at most `limit` rows: evenly over tasks, within a task in turn from each setting."""
    if limit is None:
        return chosen
    shares = Counter(
        row.example.task for row in spread([row for rows in chosen.values() for row in rows], limit, seed)
    )
    queues: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for setting, rows in chosen.items():
        for row in sorted(rows, key=lambda row: keyed_hash(seed, "limit", row.example.id)):
            queues[row.example.task][setting].append(row.example.id)
    kept: set[tuple[str, str]] = set()
    for task, share in shares.items():
        turns = sorted(
            (place, order, example, setting)
            for order, (setting, examples) in enumerate(queues[task].items())
            for place, example in enumerate(examples)
        )
        kept.update((example, setting) for _, _, example, setting in turns[:share])
    limited = {
        setting: [row for row in rows if (row.example.id, setting) in kept] for setting, rows in chosen.items()
    }
    return {setting: rows for setting, rows in limited.items() if rows}
