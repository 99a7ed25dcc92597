"""Matplotlib figures as SVG that stands inside a page: themed, titled, the same bytes each time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cascade_operator.report.palette import marker, with_variables

WIDTH: Final = 4.0
"""Inches of every figure: on a phone its text stays as large as the page's small print."""
FONT: Final = 9.0
SMALL: Final = 8.0
"""Points."""
_SETTINGS: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cascade-report",
    # The font that comes with matplotlib: the layout is the same on every machine. Browsers draw
    # with their own, which are narrower.
    "font.family": "DejaVu Sans",
    "font.size": FONT,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "path.simplify": True,
    "hatch.linewidth": 0.7,
}
_HEAD: Final = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA: Final = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_STYLE: Final = re.compile(r"<style[^>]*>.*?</style>", re.DOTALL)
_ROOT: Final = re.compile(r"<svg\b[^>]*?viewBox=\"([^\"]+)\"[^>]*>")
_IDS: Final = re.compile(r"(\bid=\"|xlink:href=\"#|\bhref=\"#|url\(#)")
_SANS: Final = re.compile(r"'DejaVu Sans'(?:, [^;\"]+)?")
_MONO: Final = re.compile(r"'DejaVu Sans Mono'(?:, [^;\"]+)?")


@contextmanager
def drawing() -> Iterator[None]:
    """Draws with the report's settings, whatever this process has set."""
    with mpl.rc_context(_drawn()):
        yield


def _drawn() -> dict[Any, Any]:
    colours = {
        "text.color": "ink",
        "axes.edgecolor": "faint",
        "axes.labelcolor": "muted",
        "xtick.color": "muted",
        "ytick.color": "ink",
        "grid.color": "line",
        "hatch.color": "card",
    }
    return {**_SETTINGS, **{name: marker(colour) for name, colour in colours.items()}}


def new_figure(height: float) -> Figure:
    """Returns an empty figure of the report's width; ``height`` in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    FigureCanvasSVG(figure)
    return figure


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Returns a figure as an SVG element; draw it inside ``drawing()``.

    Args:
        figure: The figure.
        name: Unique in the page; every id in the element begins with it.
        title: What it shows, in a few words.
        description: What it says, for who does not see it.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg")
    svg = _HEAD.sub("", out.getvalue(), count=1)
    # The metadata holds the time; inside a page the style sheet would hold for all other pictures.
    svg = _STYLE.sub("", _METADATA.sub("", svg))
    svg = _IDS.sub(rf"\g<1>{name}-", svg)
    svg = _SANS.sub("var(--sans)", _MONO.sub("var(--mono)", svg))
    box = _ROOT.search(svg)
    width, height = box[1].split()[2:] if box else ("0", "0")
    root = (
        f'<svg class="picture" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'viewBox="0 0 {width} {height}" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    svg = _ROOT.sub(lambda _: root, svg, count=1)
    return with_variables(re.sub(r">\s+<", "><", svg)).strip()
