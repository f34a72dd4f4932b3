"""The picture of a run: training and validation loss by step."""

from pathlib import Path

from matplotlib.figure import Figure

from ecellm.io.files import atomic_write
from ecellm.models.model_card import read_log


def draw_losses(log: Path, out: Path) -> None:
    """Draw the losses of log.jsonl into a PNG."""
    rows = read_log(log)
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    for key, name, style in (("loss", "training", "-"), ("eval_loss", "validation", "o--")):
        points = {row["step"]: row[key] for row in rows if key in row}
        if points:
            axes.plot(sorted(points), [points[step] for step in sorted(points)], style, label=name, markersize=4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if axes.lines:
        axes.legend(frameon=False)
    with atomic_write(out) as path:
        figure.savefig(path, format="png", dpi=120)
