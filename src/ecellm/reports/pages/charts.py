"""Pictures for a page: matplotlib's, as inline SVG whose lines and words take the page's own colour."""

import hashlib
import io
import re
from collections.abc import Callable

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

#: Distinguishable on white and on black.
COLOURS = ("#3b82c4", "#e07b39", "#3fa372", "#a86cc1", "#c9a227", "#c2556b", "#6f7f8f")
#: Stands for the colour of the page's words, whichever it is; no picture uses it otherwise.
INK = "#0a0b0c"
#: So narrow that words can be read where a phone shrinks it to its own width.
WIDTH = 5.6

_INKED: tuple[RcKeyType, ...] = (
    "text.color",
    "axes.edgecolor",
    "axes.labelcolor",
    "xtick.color",
    "ytick.color",
    "legend.labelcolor",
)
_LOOK: dict[RcKeyType, object] = {
    **dict.fromkeys(_INKED, INK),
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "font.size": 10,
    "svg.hashsalt": "ecellm",
    "svg.fonttype": "none",
}


def picture(caption: str, height: float, paint: Callable[[Axes], None], width: float = WIDTH) -> Markup:
    """Return what `paint` draws on axes, with a text for those who do not see it; inches.

    Equal drawings give equal text; no two pictures of a page share an id.
    """
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn = _own_ids(_without_frame(file.getvalue())).replace(INK, "currentColor")
    kind = "whole" if width == WIDTH else "part"
    return Markup('<figure class="{}" role="img" aria-label="{}">{}</figure>').format(kind, caption, Markup(drawn))


def bars_height(bars: int) -> float:
    """Return the height of a picture of so many horizontal bars."""
    return 0.9 + 0.34 * bars


def _without_frame(svg: str) -> str:
    """Return the svg element alone: no XML declaration, no metadata, no style that would reach the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r"\s*<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)


def _own_ids(svg: str) -> str:
    """Return the picture with ids only where they are used, none of which another picture has."""
    used = {name for pair in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg) for name in pair if name}
    mark = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{found[1]}-{mark}"' if found[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)([^)"]+)', lambda found: f"{found[1]}{found[2]}-{mark}", svg)
