"""The report's pictures: scores with intervals, trivial baselines and quoted figures; reliability; losses."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from ecellm.errors import DataError
from ecellm.evaluation.score_rows import ScoredValue
from ecellm.reports.pages.charts import COLOURS, INK, picture

#: One more than colours, so that the eighth run is not drawn as the first.
MARKS = "osD^vP*X"
#: Inches of a task's row: at least, and for each run.
ROW, ROW_OF_RUN = 0.36, 0.085
LEGEND_COLUMNS, LEGEND_LINE = 2, 0.24
#: Letters of a run's name in a picture.
LONGEST_NAME = 32
RELIABILITY = (2.9, 3.1)
#: By domain what `evaluation.calibration_error.calibration` returns.
Calibrations = Mapping[str, Mapping[str, Any]]


def overview_picture(
    title: str,
    tasks: Sequence[str],
    runs: Mapping[str, Mapping[str, ScoredValue]],
    trivial: Mapping[str, float],
    quoted: Mapping[str, float],
) -> Markup:
    """Draw a line a task: each run's value and interval, the best trivial baseline, and the best quoted figure."""

    step = 0.72 / len(runs)

    def paint(axes: Axes) -> None:
        for place, task in enumerate(tasks):
            axes.axhspan(place - 0.4, place + 0.4, color=INK, alpha=0.07, linewidth=0)
            if task in trivial:
                axes.plot([trivial[task]] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=1.6, label="_trivial")
        for number, name in enumerate(runs):
            _plot_run(axes, tasks, runs[name], name, number, (number - (len(runs) - 1) / 2) * step)
        if trivial:
            axes.plot([], [], color=INK, linewidth=1.6, label="best trivial baseline")
        if quoted:
            _plot_quoted(axes, tasks, quoted)
        axes.set_yticks(range(len(tasks)), tasks)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.set_xlim(0, 1.02)
        handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        for last in ("best trivial baseline", "best quoted figure"):
            if last in handles:
                handles[last] = handles.pop(last)
        axes.legend(handles.values(), handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=LEGEND_COLUMNS)

    caption = f"{title}: each task's score and 95 % interval, the best trivial baseline, and the best quoted figure."
    lines = -(-(len(runs) + bool(trivial) + bool(quoted)) // LEGEND_COLUMNS)
    height = 0.5 + LEGEND_LINE * lines + max(ROW, ROW_OF_RUN * (len(runs) + 1)) * len(tasks)
    return picture(caption, height, paint)


def _plot_run(
    axes: Axes, tasks: Sequence[str], rows: Mapping[str, ScoredValue], name: str, number: int, shift: float
) -> None:
    """Plot a run's values and intervals, each `shift` beside its task's line."""
    shown = [(place, rows[task]) for place, task in enumerate(tasks) if task in rows]
    axes.errorbar(
        [row["value"] for _, row in shown],
        [place + shift for place, _ in shown],
        # An interval of draws need not hold the value.
        xerr=[
            [max(row["value"] - row["low"], 0) for _, row in shown],
            [max(row["high"] - row["value"], 0) for _, row in shown],
        ],
        fmt=MARKS[number % len(MARKS)],
        color=COLOURS[number % len(COLOURS)],
        markersize=5,
        label=_short(name),
    )


def _plot_quoted(axes: Axes, tasks: Sequence[str], quoted: Mapping[str, float]) -> None:
    places = [place for place, task in enumerate(tasks) if task in quoted]
    axes.scatter(
        [quoted[tasks[place]] for place in places],
        places,
        marker="d",
        facecolors="none",
        edgecolors=INK,
        s=36,
        zorder=5,
        label="best quoted figure",
    )


def reliability_picture(task: str, run: str, calibrated: Calibrations) -> Markup:
    """Draw the share of a run's right answers against the probability that it gave, a line for each domain."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, alpha=0.4, linestyle="--", linewidth=1)
        for number, (name, found) in enumerate(calibrated.items()):
            bins = found["bins"]
            most = max(part["n"] for part in bins)
            colour = COLOURS[number % len(COLOURS)]
            at, right = [part["probability"] for part in bins], [part["accuracy"] for part in bins]
            axes.plot(at, right, color=colour, linewidth=1.2, label=f"{name}: error {found['ece']:.3f}")
            sizes = [12 + 70 * part["n"] / most for part in bins]
            axes.scatter(at, right, s=sizes, color=colour, alpha=0.8, clip_on=False)
        axes.set_xlabel("probability that it gave")
        axes.set_ylabel("share that was right")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.legend(title=_short(run), loc="lower center", bbox_to_anchor=(0.5, 1.0))

    caption = f"{task}, {run}: how often answers were right, by the probability that the model gave them."
    return picture(caption, RELIABILITY[1], paint, RELIABILITY[0])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def training_picture(log: Path, name: str) -> Markup:
    """Draw the validation loss of a tuning log by step, and the training loss where it was logged.

    Raises DataError where the file is no log.
    """
    try:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        held_out = [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]
        training = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        speeds = [float(row["tokens_per_second"]) for row in rows if "tokens_per_second" in row]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{log} is no tuning log: take it from the MODEL folder.") from error
    if not held_out and not training:
        return Markup("<p>The log has no loss yet.</p>")

    def paint(axes: Axes) -> None:
        for label, points, style in (("training", training, "-"), ("validation", held_out, "o-")):
            if points:
                steps, losses = zip(*points, strict=True)
                axes.plot(steps, losses, style, markersize=4, linewidth=1.2, label=label)
        axes.set_xlabel("step" + (f" ({speeds[-1]:,.0f} tokens per second)" if speeds else ""))
        axes.set_ylabel("loss")
        axes.set_ylim(0, 1.08 * max(loss for _, loss in [*training, *held_out]))
        axes.legend()

    return picture(f"{name}: the loss by step.", 2.6, paint)
