"""Running a study: `tune` and `predict` for every model, each in a process of its own, then scoring.

Finished runs are kept: a study that was interrupted anywhere is resumed and ends with the same result.

    STUDY/study.json                the plan, so that another one is refused
    STUDY/runs/ARM-seed42/          model/, predictions.jsonl, run.log, asked.json (settings that are done)
    STUDY/sides/SIDE-seed42/        predictions.jsonl, scores.json

Several studies of one dataset may share their runs.
"""

import hashlib
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import cast

from ecellm.data.dataset import Dataset
from ecellm.errors import ConfigError, DataError
from ecellm.evaluation.evaluate import evaluate, write_scores
from ecellm.evaluation.runs import PREDICTIONS, SCORES
from ecellm.experiments.plans import Arm, Side, Study
from ecellm.io.files import atomic_write, refuse_existing
from ecellm.io.json_files import read_run_record
from ecellm.io.json_types import json_fault
from ecellm.training.recipe import recipe_text

RECORD, DONE = "study.json", "asked.json"
#: Called with a line for each finished run.
Say = Callable[[str], None]


@dataclass
class Grid:
    """A study's runs in a folder."""

    study: Study
    dataset: Dataset
    out: Path
    seeds: Sequence[int]
    changes: Sequence[str] = ()
    """`a.b=value`, for every recipe."""
    test_rows: int | None = None
    """Test rows under each setting at most."""
    devices: Sequence[str] = ("",)
    """A run at a time on each: numbers of accelerators, or an empty text for whatever there is."""
    runs: Path | None = None
    """Where the runs lie that several studies share; None: below `out`."""
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _stopped: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def arms(self) -> list[tuple[Arm, int]]:
        """Return every model with its seed, seed by seed."""
        return [(arm, seed) for seed in self.seeds for side in self.study.sides for arm in side.arms]

    def run(self, say: Say) -> None:
        """Run what is not finished yet.

        Raises ConfigError where the folder holds another study, or where a run fails: its output is in its run.log.
        """
        self._claim()
        free: queue.Queue[str] = queue.Queue()
        for device in self.devices:
            free.put(device)
        todo = self.arms()
        with ThreadPoolExecutor(len(self.devices)) as pool:
            futures = [pool.submit(self._arm, arm, seed, free) for arm, seed in todo]
            try:
                for count, future in enumerate(as_completed(futures), start=1):
                    if line := future.result():
                        say(f"{count} of {len(todo)}: {line}")
            except BaseException:
                self._stop()
                for future in futures:
                    future.cancel()
                raise
        for seed in self.seeds:
            for side in self.study.sides:
                self._score(side, seed)

    def side_folder(self, side: Side, seed: int) -> Path:
        """Return where a side's answers and scores lie."""
        return self.out / "sides" / f"{_plain(side.name)}-seed{seed}"

    def commands(self, arm: Arm, seed: int) -> Iterator[list[str]]:
        """Yield the commands of an arm, without the interpreter: tune, then predict each setting."""
        folder = self._run_folder(arm, seed)
        data = ["--data", str(self.dataset.path), "--tasks", ",".join(arm.tasks)]
        tune = ["tune", arm.recipe, *data, "--out", str(folder / "model"), "--setting", arm.setting, "--resume"]
        for change in (*self.changes, f"optimisation.seed={seed}"):
            tune += ["--set", change]
        yield tune if arm.limit is None else [*tune, "--limit", str(arm.limit)]
        for setting in self.study.settings(self.dataset, arm):
            predict = [
                "predict",
                str(folder / "model"),
                *data,
                "--out",
                str(folder / PREDICTIONS),
                "--setting",
                setting,
            ]
            yield predict if self.test_rows is None else [*predict, "--limit", str(self._share(arm))]

    def _share(self, arm: Arm) -> int:
        """Return how many test rows an arm predicts: models that share the tasks share the rows."""
        assert self.test_rows is not None
        all_tasks = {task for side in self.study.sides for one in side.arms for task in one.tasks}
        return max(1, self.test_rows * len(arm.tasks) // len(all_tasks))

    def _claim(self) -> None:
        """Write the plan; raises ConfigError where the folder holds another."""
        texts = {arm.recipe: recipe_text(arm.recipe) for arm, _ in self.arms()}
        plan = {
            "study": asdict(self.study),
            "dataset": self.dataset.hash(),
            "seeds": list(self.seeds),
            "changes": list(self.changes),
            "test_rows": self.test_rows,
            "recipes": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
        }
        plan = json.loads(json.dumps(plan))
        record = self.out / RECORD
        if record.is_file():
            before = read_run_record(record)
            different = [name for name in plan if plan[name] != before.get(name)]
            if different:
                raise ConfigError(
                    f"{self.out} holds a study with another {' and '.join(different)}: name another output."
                )
            return
        refuse_existing(self.out)
        with atomic_write(record) as path:
            path.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")

    def _arm(self, arm: Arm, seed: int, free: "queue.Queue[str]") -> str:
        """Tune one model and predict with it; return a line on it."""
        folder = self._run_folder(arm, seed)
        if self._stopped.is_set():
            return ""
        settings = self.study.settings(self.dataset, arm)
        done = _finished_settings(folder)
        if set(settings) <= done.keys():
            return f"{folder.name} was done before"
        folder.mkdir(parents=True, exist_ok=True)
        device = free.get()
        began = time.monotonic()
        try:
            for command in self.commands(arm, seed):
                self._call(command, folder / "run.log", device)
        finally:
            free.put(device)
        if self._stopped.is_set():
            return ""
        seconds = time.monotonic() - began
        with atomic_write(folder / DONE) as path:
            path.write_text(
                json.dumps({**dict.fromkeys(settings, round(seconds, 1)), **done}) + "\n", encoding="utf-8"
            )
        return f"{folder.name} tuned and evaluated in {seconds / 60:.1f} min"

    def _call(self, command: Sequence[str], log: Path, device: str) -> None:
        """Run one command to its end, unless the study was stopped; raises ConfigError where it fails."""
        environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": device} if device else {})}
        with log.open("ab") as file:
            file.write(f"$ ecellm {shlex.join(command)}\n".encode())
            file.flush()
            with self._lock:
                if self._stopped.is_set():
                    return
                process = subprocess.Popen(  # noqa: S603 - our own verbs, no shell
                    [sys.executable, "-m", "ecellm", *command],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                )
                self._running.add(process)
            code = process.wait()
            with self._lock:
                self._running.discard(process)
        if code and not self._stopped.is_set():
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
            raise ConfigError(f"ecellm {command[0]} failed ({log}): {last.removeprefix('ecellm: error: ')}")

    def _stop(self) -> None:
        """Interrupt the running commands as Ctrl-C would, and start no other."""
        with self._lock:
            self._stopped.set()
            for process in self._running:
                process.send_signal(signal.SIGINT)

    def _score(self, side: Side, seed: int) -> None:
        """Put the answers of a side's models into one file and score them."""
        folder = self.side_folder(side, seed)
        if (folder / SCORES).is_file():
            return
        with atomic_write(folder / PREDICTIONS) as path, path.open("wb") as file:
            for arm in side.arms:
                settings = set(self.study.settings(self.dataset, arm))
                with (self._run_folder(arm, seed) / PREDICTIONS).open("rb") as answers:
                    file.writelines(line for line in answers if json.loads(line)["setting"] in settings)
        write_scores(evaluate(folder / PREDICTIONS, self.dataset), folder / SCORES)

    def _run_folder(self, arm: Arm, seed: int) -> Path:
        return (self.runs or self.out / "runs") / f"{arm.name}-seed{seed}"


def _finished_settings(folder: Path) -> dict[str, float]:
    """Return the settings that a run has finished, and the seconds that it took."""
    record = folder / DONE
    if not record.is_file():
        return {}
    read = read_run_record(record)
    if fault := json_fault(read, dict[str, float]):
        raise DataError(f"{record}: {fault}: remove {folder}, which is then tuned again.")
    return cast(dict[str, float], read)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
