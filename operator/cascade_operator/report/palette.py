"""The report's colours: one name, one value for light and one for dark.

Pictures are drawn in marker colours that stand for names, and the markers become CSS variables, so
that one picture serves both themes. Hues are told apart by readers with any common colour vision
(blue, orange and grey; Okabe and Ito, 2008), and each also differs by shape, hatch or text.
"""

from __future__ import annotations

import re
from typing import Final

_COLOURS: Final[dict[str, tuple[str, str]]] = {
    "page": ("#f5f6f8", "#0f1318"),
    "card": ("#ffffff", "#171c23"),
    "ink": ("#1a1f26", "#e7ebf0"),
    "muted": ("#566070", "#a3adba"),
    "line": ("#d5dae1", "#343d49"),
    "faint": ("#aab3bf", "#5a6675"),
    "accent": ("#0b5cad", "#79b8ff"),
    "warm": ("#b4500b", "#ffab5e"),
    "good": ("#17713f", "#6fd39b"),
    "bad": ("#b42318", "#ff9a8f"),
    "good-soft": ("#e2f4ea", "#14321f"),
    "bad-soft": ("#fce9e7", "#3d1a17"),
    "warm-soft": ("#fcefe2", "#38240f"),
    "accent-soft": ("#e3eefa", "#152b44"),
    "band": ("#dfe4ea", "#2b333d"),
    "stage-traces": ("#7b8794", "#8d99a8"),
    "stage-embed": ("#56b4e9", "#56b4e9"),
    "stage-propose": ("#cc79a7", "#d98fb8"),
    "stage-search": ("#0b6fb8", "#3f9be6"),
    "stage-archive": ("#e69f00", "#e6a820"),
    "stage-other": ("#009e73", "#1fb98d"),
    "gain-n4": ("#9c4a05", "#ffbe6b"),
    "gain-n3": ("#e08214", "#c9771b"),
    "gain-n2": ("#fdc687", "#7d4c14"),
    "gain-n1": ("#fdead2", "#46341f"),
    "gain-z": ("#eef1f5", "#29313b"),
    "gain-p1": ("#dbe9f6", "#1d3650"),
    "gain-p2": ("#a6cdea", "#1f5182"),
    "gain-p3": ("#5aa3d6", "#4a9be0"),
    "gain-p4": ("#1c5c9e", "#a4d4ff"),
    "on-gain-n4": ("#ffffff", "#14181e"),
    "on-gain-n3": ("#14181e", "#14181e"),
    "on-gain-n2": ("#14181e", "#ffffff"),
    "on-gain-n1": ("#14181e", "#ffffff"),
    "on-gain-z": ("#14181e", "#ffffff"),
    "on-gain-p1": ("#14181e", "#ffffff"),
    "on-gain-p2": ("#14181e", "#ffffff"),
    "on-gain-p3": ("#14181e", "#14181e"),
    "on-gain-p4": ("#ffffff", "#14181e"),
}
_NAMES: Final = tuple(_COLOURS)
# A grey-blue that no figure uses by itself; the last byte counts the names.
_MARKER: Final = "#c0de{:02x}"
_MARKED: Final = re.compile(r"#c0de([0-9a-f]{2})")
GAIN_STEPS: Final = 4
"""Steps of the gain's scale on each side of zero."""


def marker(name: str) -> str:
    """Returns the colour to draw with where this name is meant.

    Raises:
        ValueError: There is no such name.
    """
    if name not in _COLOURS:
        raise ValueError(f"the report has no colour {name!r}")
    return _MARKER.format(_NAMES.index(name))


def with_variables(svg: str) -> str:
    """Replaces each marker colour by its CSS variable."""
    return _MARKED.sub(lambda match: f"var(--{_NAMES[int(match[1], 16)]})", svg)


def css_variables(*, dark: bool) -> str:
    """Returns the variables of one theme as CSS declarations."""
    return "".join(f"--{name}:{both[dark]};" for name, both in _COLOURS.items())


def gain_colour(gain: float, scale: float) -> str:
    """Returns the name of a gain's colour.

    Args:
        gain: The difference to show.
        scale: The largest one, without its sign; 0 where all are 0.
    """
    if scale <= 0.0 or round(gain, 4) == 0:
        return "gain-z"
    step = min(GAIN_STEPS, 1 + int(GAIN_STEPS * abs(gain) / scale * 0.9999))
    return f"gain-{'p' if gain > 0 else 'n'}{step}"


def contrast(one: str, other: str, *, dark: bool) -> float:
    """Returns the contrast ratio of two named colours (WCAG 2.2): 1 to 21."""
    lighter, darker = sorted(
        (_luminance(_COLOURS[name][dark]) for name in (one, other)), reverse=True
    )
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
