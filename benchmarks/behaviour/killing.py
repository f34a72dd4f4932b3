"""Commands that are killed at random moments and started again, held against the same commands left alone.

What a command writes after it was killed, once or several times, and then run to its end must equal what it writes
undisturbed: nothing lost, nothing twice, nothing half-written. A service that is killed while it answers must give
every question the answer of one left alone.
"""

import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import contents
from commands import Commands
from contents import Facts
from served import Served

HERE = Path(__file__).resolve().parent
#: A command is killed at most so many times before it is left alone to finish.
MOST_IN_A_ROW = 6
#: Of an undisturbed command's time: a kill comes at a moment drawn from here to the end.
EARLIEST = 0.15
MEAN_LOSS = re.compile(r"log step \d+ loss")
XS = ("xs", "--set", "max_tokens=176", "--set", "optimisation.batch_tokens=192", "--set", "validation.rows=20")


class Case(Protocol):
    """What is killed."""

    def facts(self, commands: Commands, folder: Path, deaths: Sequence[float]) -> tuple[Facts, int]:
        """Run in a new folder to the end, killed so many seconds after each of the first starts; return what came of
        it, and how often it was killed."""


@dataclass(frozen=True)
class Command:
    """A command that writes something."""

    arguments: Callable[[Path], Sequence[object]]
    """Those of the command that writes to a path."""
    read: Callable[[Path], Facts]
    """What is held equal of that path."""
    ending: str = ""

    def facts(self, commands: Commands, folder: Path, deaths: Sequence[float]) -> tuple[Facts, int]:
        out = folder / f"out{self.ending}"
        arguments = self.arguments(out)
        kills = 0
        for death in deaths:
            if not _killed(commands, arguments, death):
                return self.read(out), kills
            kills += 1
        _killed(commands, arguments, None)
        return self.read(out), kills


@dataclass
class Outcome:
    """What became of a command."""

    kills: int = 0
    endings: int = 0
    """How often it was run to its end after kills."""
    differences: list[str] = field(default_factory=list)
    leftovers: int = 0
    """Temporary files that the killed processes left."""


def _tuned(out: Path) -> Facts:
    """Return what a MODEL folder holds but for the training losses: Trainer's first after a resume is the mean of the
    steps since then, not of the ten before it."""
    return {name: fact for name, fact in contents.model(out).items() if not MEAN_LOSS.fullmatch(name)}


def _study(out: Path) -> Facts:
    """Return the scores and predictions of a study's runs."""
    found: Facts = {}
    for path in sorted(out.rglob("scores.json")):
        found |= contents.under(path.parent.relative_to(out).as_posix(), contents.scores(path))
    for path in sorted(out.rglob("predictions.jsonl")):
        found |= contents.under(path.parent.relative_to(out).as_posix(), contents.predictions(path))
    return found


TUNE = (*XS, "--data", "few", "--limit", 60, "--set", "optimisation.min_steps=12")
TUNE = (*TUNE, "--set", "optimisation.epochs=1", "--set", "optimisation.checkpoint_steps=2")
STUDY = ("scale", "--recipe", "xs", "--data", "few", "--sizes", "20,40", "--limit", 10)
STUDY = (*STUDY, *XS[1:], "--set", "optimisation.min_steps=4", "--set", "optimisation.epochs=1")
BUILD = ("build", "--sources", "shop", "--config", HERE / "shop.toml", "--tasks", "PM,QPR,SR")


def _build(out: Path) -> Sequence[object]:
    return (*BUILD, "--out", out)


def _tune(out: Path) -> Sequence[object]:
    return ("tune", *TUNE, "--out", out, "--resume")


def _predict(out: Path) -> Sequence[object]:
    return ("predict", "model", "--data", "dataset", "--out", out, "--limit", 120)


CASES: dict[str, Case] = {
    "simulate": Command(lambda out: ("simulate", "--out", out, "--scale", 0.2, "--seed", 7), contents.files),
    "build": Command(_build, contents.dataset),
    "tune": Command(_tune, _tuned),
    "baseline": Command(
        lambda out: ("baseline", "tfidf", "--data", "dataset", "--limit", 300, "--out", out), contents.model
    ),
    "predict": Command(_predict, contents.predictions, ".jsonl"),
    "ask": Command(lambda out: ("ask", "PM", "model", "--input", "pairs.csv", "--out", out), contents.file, ".csv"),
    "link": Command(
        lambda out: ("link", "left.csv", "right.csv", "--model", "model", "--k", 3, "--out", out),
        contents.file,
        ".csv",
    ),
    "evaluate": Command(
        lambda out: ("evaluate", "predictions.jsonl", "--data", "dataset", "--out", out), contents.scores, ".json"
    ),
    "study": Command(lambda out: ("study", *STUDY, "--out", out), _study),
    "serve": Served("model"),
}


def prepare(commands: Commands) -> None:
    """Make what the commands read: a shop, its dataset, a model, its predictions, and tables."""
    commands.run("simulate", "simulate", "--out", "shop", "--scale", 0.2, "--seed", 7)
    commands.run("build", *_build(Path("dataset")))
    commands.run("build, one task", *BUILD[:-1], "PM", "--out", "few")
    commands.run("tune", *_tune(Path("model")))
    commands.run("predict", *_predict(Path("predictions.jsonl")))
    with (commands.folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sku", "title_1", "title_2"])
        rows.writerows([number, f"Steel mug {number} oz", f"{number % 7} oz mug, steel"] for number in range(150))
    for name, title in (("left", "Steel mug {} oz, colour {}"), ("right", "{} oz mug in colour {}")):
        with (commands.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [["id", "title"], *([number, title.format(number % 20, number % 11)] for number in range(80))]
            )


def kill(commands: Commands, names: Sequence[str], kills: int, seed: int) -> dict[str, Outcome]:
    """Kill so many times in all, in turn, or until Ctrl-C; returns what became of each."""
    found = {name: Outcome() for name in names}
    undisturbed: dict[str, tuple[Facts, float]] = {}
    for name in names:
        began = time.monotonic()
        facts, _ = CASES[name].facts(commands, _new(commands.folder / f"{name}-undisturbed"), [])
        undisturbed[name] = facts, time.monotonic() - began
        print(f"{undisturbed[name][1]:6.1f} s  {name}, undisturbed", flush=True)
    moments = random.Random(seed)
    with suppress(KeyboardInterrupt):
        while sum(outcome.kills for outcome in found.values()) < kills:
            for name in names:
                expected, seconds = undisturbed[name]
                deaths = [moments.uniform(EARLIEST, 1) * seconds for _ in range(moments.randint(1, MOST_IN_A_ROW))]
                _trial(commands, name, deaths, expected, found[name])
                print(
                    f"{name}: killed {found[name].kills} times, {len(found[name].differences)} differences",
                    flush=True,
                )
    return found


def _trial(commands: Commands, name: str, deaths: Sequence[float], expected: Facts, outcome: Outcome) -> None:
    """Run once, killed again and again, and compare what came of it."""
    folder = _new(commands.folder / "trial")
    made, kills = CASES[name].facts(commands, folder, deaths)
    outcome.kills += kills
    outcome.endings += 1
    outcome.differences += [
        f"ending {outcome.endings}: {fact}" for fact in {**expected, **made} if expected.get(fact) != made.get(fact)
    ]
    outcome.leftovers += sum(1 for path in folder.rglob("*") if path.name.endswith(".part"))
    shutil.rmtree(folder)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _killed(commands: Commands, arguments: Sequence[object], after: float | None) -> bool:
    """Start a command and kill it, with all that it started, after so many seconds; returns False where it ended.

    A command whose former process was killed after it had written everything refuses to write it again: it has ended.
    """
    line: list[Any] = [sys.executable, "-m", "ecellm", *map(str, arguments)]
    process = subprocess.Popen(
        line,
        cwd=commands.folder,
        env=commands.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode and b"exists already" not in said:
        raise RuntimeError(f"{' '.join(line[3:])} failed after it was killed: {said.decode(errors='replace')}")
    return False


def report(found: dict[str, Outcome]) -> int:
    """Print what became of each command, and every difference; returns the exit code."""
    print(f"{'command':10} {'kills':>6} {'endings':>8} {'differences':>12} {'temporary files left':>21}")
    total = Outcome()
    for name, outcome in found.items():
        print(f"{name:10} {outcome.kills:6} {outcome.endings:8} {len(outcome.differences):12} {outcome.leftovers:21}")
        total.kills += outcome.kills
        total.endings += outcome.endings
        total.differences += [f"{name}, {one}" for one in outcome.differences]
        total.leftovers += outcome.leftovers
    print(f"{'all':10} {total.kills:6} {total.endings:8} {len(total.differences):12} {total.leftovers:21}")
    for one in total.differences:
        print(one)
    return 1 if total.differences else 0
