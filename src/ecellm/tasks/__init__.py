"""The tasks, one file each. A new task is one new file and one line in `TASKS`."""

from ecellm.errors import ConfigError
from ecellm.tasks import ag, ap, ave, mpc, pm, prp, psi, qpr, sa, sr
from ecellm.tasks.task import Task

__all__ = ["TASKS", "Task", "chosen_tasks", "tasks_by_name"]

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        ave.TASK,
        prp.TASK,
        pm.TASK,
        sa.TASK,
        sr.TASK,
        mpc.TASK,
        psi.TASK,
        qpr.TASK,
        ap.TASK,
        ag.TASK,
    )
}


def tasks_by_name() -> dict[str, Task]:
    """Return the tasks by abbreviation, title and other spellings of it, each in lower case."""
    return {name.casefold(): task for task in TASKS.values() for name in (task.name, task.title, *task.aliases)}


def chosen_tasks(names: str | None) -> list[Task]:
    """Return the tasks of a comma-separated list such as "PM,SA" (None: all), in the paper's order.

    Raises ConfigError naming an unknown task and the known ones.
    """
    if names is None:
        return list(TASKS.values())
    wanted = [name.strip().upper() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in TASKS]
    if unknown or not wanted:
        known = ", ".join(TASKS)
        raise ConfigError(f"Unknown task {', '.join(unknown) or names!r}: choose from {known}.")
    return [task for task in TASKS.values() if task.name in wanted]
