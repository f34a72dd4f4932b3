"""The report's pictures: scores with intervals, floors and quoted figures; reliability; the course of tuning."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ecellm.pages.pictures import COLOURS, INK, bars_height, picture

MARKS = "osD^vP*"
#: Of one task, runs are drawn this far apart.
STEP = 0.16


def overview_picture(
    title: str,
    tasks: Sequence[str],
    runs: Mapping[str, Mapping[str, Mapping[str, Any]]],
    floors: Mapping[str, float],
    quoted: Mapping[str, float],
) -> Markup:
    """Draw a line a task: each run's value with its interval, the floor, and the best quoted figure."""

    def paint(axes: Any) -> None:
        for place, task in enumerate(tasks):
            axes.axhline(place, color=INK, alpha=0.08, linewidth=14)
            if task in floors:
                axes.plot([floors[task]] * 2, [place - 0.36, place + 0.36], color=INK, linewidth=1.6, label="_floor")
        for number, (name, rows) in enumerate(runs.items()):
            colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
            shift = (number - (len(runs) - 1) / 2) * min(STEP, 0.7 / len(runs))
            shown = [(place, rows[task]) for place, task in enumerate(tasks) if task in rows]
            axes.errorbar(
                [row["value"] for _, row in shown],
                [place + shift for place, _ in shown],
                # An interval of draws need not hold the value.
                xerr=[
                    [max(row["value"] - row["low"], 0) for _, row in shown],
                    [max(row["high"] - row["value"], 0) for _, row in shown],
                ],
                fmt=mark,
                color=colour,
                markersize=5,
                label=name,
            )
        if quoted:
            places = [place for place, task in enumerate(tasks) if task in quoted]
            axes.scatter(
                [quoted[tasks[place]] for place in places],
                places,
                marker="d",
                facecolors="none",
                edgecolors=INK,
                s=36,
                label="best quoted figure",
            )
        if floors:
            axes.plot([], [], color=INK, linewidth=1.6, label="best trivial answer")
        axes.set_yticks(range(len(tasks)), tasks)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.set_xlim(0, 1.02)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)

    said = f"{title}: each task's score with its 95 % interval, the best trivial answer, and the best quoted figure."
    return picture(said, bars_height(len(tasks)) + 0.35 + 0.25 * (len(runs) // 3), paint)


def reliability_picture(task: str, calibrated: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Draw the share of right answers against the probability that was given, a line for each of several models."""

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=INK, alpha=0.4, linestyle="--", linewidth=1)
        for number, (name, found) in enumerate(calibrated.items()):
            bins = found["bins"]
            most = max(part["n"] for part in bins)
            colour = COLOURS[number % len(COLOURS)]
            at, right = [part["probability"] for part in bins], [part["accuracy"] for part in bins]
            axes.plot(at, right, color=colour, linewidth=1.2, label=f"{name}: error {found['ece']:.3f}")
            axes.scatter(at, right, s=[12 + 70 * part["n"] / most for part in bins], color=colour, alpha=0.8)
        axes.set_xlabel("probability that the model gave")
        axes.set_ylabel("share that was right")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return picture(
        f"{task}: how often answers were right, by the probability that the model gave them.", 3.0, paint, 6.5
    )


def training_picture(log: Path, name: str) -> Markup:
    """Draw the validation loss of a tuning log by step, and the training loss where it was logged.

    Raises ValueError where the file is no log.
    """
    try:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        held_out = [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]
        taught = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        speeds = [float(row["tokens_per_second"]) for row in rows if "tokens_per_second" in row]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{log} is no tuning log: take it from the MODEL folder.") from error
    if not held_out and not taught:
        return Markup("<p>The log has no loss yet.</p>")

    def paint(axes: Any) -> None:
        for said, points, style in (("training", taught, "-"), ("validation", held_out, "o-")):
            if points:
                steps, losses = zip(*points, strict=True)
                axes.plot(steps, losses, style, markersize=4, linewidth=1.2, label=said)
        axes.set_xlabel("step" + (f" ({speeds[-1]:,.0f} tokens per second)" if speeds else ""))
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)
        axes.legend()

    return picture(f"{name}: the loss by step.", 2.6, paint)
