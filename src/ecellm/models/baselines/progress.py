"""Progress of fitting baselines: a bar for each task, with time left and what was reached."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ecellm.models.baselines.base import FitProgress


class Fitting:
    """Shows the fitting on standard error; called with a task's name as its model is begun."""

    def __init__(self, console: Console | None = None):
        self.bar = Progress(
            TextColumn("fitting {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}"),
            console=console or Console(stderr=True),
        )

    def __enter__(self) -> "Fitting":
        """Start the bars."""
        self.bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stop them, whatever happened."""
        if raised[0] is None:
            self._end()
        self.bar.stop()

    def __call__(self, task: str) -> FitProgress:
        """End the bar before, begin one, and return the callback that moves it."""
        self._end()
        row: TaskID = self.bar.add_task(task, total=None, remark="")

        def update(done: int, total: int, remark: str) -> None:
            self.bar.update(row, completed=done, total=total, remark=remark)

        return update

    def _end(self) -> None:
        """Fill the last bar: a model that is fitted in one go reports no steps."""
        for row in self.bar.tasks[-1:]:
            total = row.total or 1
            self.bar.update(row.id, completed=total, total=total)
