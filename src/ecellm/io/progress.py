"""Progress of a run: bars with time left, and of one that answers questions how many a second."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class QuestionProgress:
    """Shows a run on standard error; called with (questions done, questions in all)."""

    def __init__(self, console: Console | None = None):
        self.bar = Progress(
            TextColumn("asking"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[speed]}"),
            console=console or Console(stderr=True),
        )
        self.row: TaskID | None = None
        self.first = 0
        self.began = 0.0

    def __enter__(self) -> "QuestionProgress":
        """Start the bar."""
        self.bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stop it, whatever happened."""
        self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Move the bar; it starts where the run starts, which a resumed one does in the middle."""
        if self.row is None:
            self.first, self.began = done, time.monotonic()
            self.row = self.bar.add_task("asking", total=total, completed=done, speed="")
            return
        per_second = (done - self.first) / max(time.monotonic() - self.began, 1e-6)
        self.bar.update(self.row, completed=done, total=total, speed=f"{per_second:,.1f} questions/s")


class StageProgress:
    """Shows a run of several stages on standard error; called with a stage's name as it begins."""

    def __init__(self, console: Console | None = None):
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )

    def __enter__(self) -> "StageProgress":
        """Start the bars."""
        self.bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stop them, whatever happened."""
        self.bar.stop()

    def __call__(self, name: str) -> Callable[[int, int], None]:
        """Return the callback(done, total) of a stage, whose bar appears with its first call."""
        row: list[TaskID] = []

        def update(done: int, total: int) -> None:
            if not row:
                row.append(self.bar.add_task(name, total=total))
            self.bar.update(row[0], completed=done, total=total)

        return update
