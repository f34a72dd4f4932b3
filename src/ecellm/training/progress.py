"""Progress of a tuning run: a bar with tokens per second and time left, and a JSON-lines log."""

import json
import math
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecellm.io.files import write_text
from ecellm.models.model_card import LOG
from ecellm.models.training.arguments import SCORE
from ecellm.training.memory import GIB, peak_memory


class Progress(TrainerCallback):
    """Shows the run on a console and appends each logged step to OUT/log.jsonl."""

    def __init__(self, console: Console, out: Path, tokens_per_step: float):
        self.console = console
        self.log_file = out / LOG
        self.tokens_per_step = tokens_per_step
        columns = (
            TextColumn("tuning"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[speed]}"),
        )
        self.bar = Bar(*columns, console=console)
        self.row: TaskID | None = None
        self.began = 0.0
        self.first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Start bar and log where the run starts, which a resumed one does in the middle."""
        self._forget(state.global_step)
        self.began, self.first_step = time.monotonic(), state.global_step
        self.bar.start()
        self.row = self.bar.add_task("tuning", total=state.max_steps, completed=state.global_step, speed="")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Move the bar."""
        if self.row is not None:
            speed = f"{self._speed(state):,.0f} tokens/s"
            self.bar.update(self.row, completed=state.global_step, speed=speed)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Append what Trainer logs (loss, learning rate, gradient norm, validation losses), speed and memory.

        These two are added to `logs` itself: callbacks that run later, such as trackers, get them too.
        """
        logs = logs if logs is not None else {}
        speed, memory = round(self._speed(state)), round(peak_memory() / GIB, 2)
        measured = {"tokens_per_second": speed, "peak_memory_gib": memory}
        # Trainer's last entry sums up the process: of a resumed run its mean loss would be of a part of the steps.
        of_run = {name: value for name, value in logs.items() if not name.startswith("train_")}
        row = {"step": state.global_step, **measured, **of_run}
        logs |= measured
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if "eval_loss" in logs:
            score = f", score {logs[SCORE]:.4f}" if SCORE in logs else ""
            self.console.print(f"step {state.global_step}: validation loss {logs['eval_loss']:.4f}{score}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Stop the bar."""
        self.bar.stop()

    def _forget(self, step: int) -> None:
        """Remove from the log the steps after the checkpoint of an interrupted run: they are repeated."""
        if not self.log_file.is_file():
            return
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step(line) <= step]
        write_text("".join(f"{line}\n" for line in kept), self.log_file)

    def _speed(self, state: TrainerState) -> float:
        """Return tokens per second since this process began, without padding."""
        seconds = time.monotonic() - self.began
        return (state.global_step - self.first_step) * self.tokens_per_step / max(seconds, 1e-6)


def _step(line: str) -> float:
    """Return the step that a line of the log is of; infinity where the line is incomplete."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
