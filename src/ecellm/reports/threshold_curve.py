"""The picture of `ecellm link`: precision, recall and F1 of the pairs by the threshold on their probability."""

from pathlib import Path

from matplotlib.figure import Figure

from ecellm.io.files import atomic_write
from ecellm.linking.truth import Evidence


def draw_thresholds(evidence: Evidence, out: Path) -> None:
    """Draw the curve into a PNG, with the threshold that was chosen."""
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    thresholds = [point.threshold for point in evidence.curve]
    for name, style in (("precision", "--"), ("recall", ":"), ("f1", "-")):
        label = {"f1": "F1"}.get(name, name)
        axes.plot(thresholds, [getattr(point, name) for point in evidence.curve], style, label=label)
    axes.axvline(evidence.threshold, color="grey", linewidth=0.8, label=f"chosen: {evidence.threshold:.2f}")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("lowest probability of a pair")
    axes.legend(frameon=False, loc="lower left")
    with atomic_write(out) as path:
        figure.savefig(path, format="png", dpi=120)
