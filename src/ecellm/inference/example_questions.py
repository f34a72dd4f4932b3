"""A few questions of every task, for checks that need no dataset of the user's own."""

from collections.abc import Collection

from ecellm.inference.row_questions import row_question
from ecellm.tasks import TASKS
from ecellm.types import Question


def example_questions(tasks: Collection[str] | None = None) -> list[Question]:
    """Return the questions of the tasks (None: of all), each under its task's seed instruction, in turn of the tasks.

    A task without sample rows has none.
    """
    rows = {name: task.sample_rows for name, task in TASKS.items() if tasks is None or name in tasks}
    turns = max(map(len, rows.values()), default=0)
    return [
        row_question(TASKS[name], asking[turn], f"{name}-{turn + 1}").question
        for turn in range(turns)
        for name, asking in rows.items()
        if turn < len(asking)
    ]
