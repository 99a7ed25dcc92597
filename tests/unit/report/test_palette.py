"""The report's colours: contrast in both themes, and a scale without surprises."""

from __future__ import annotations

import pytest

from cascade_operator.report.palette import (
    contrast,
    css_variables,
    gain_colour,
    marker,
    with_variables,
)

THEMES = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
GAINS = [f"gain-{side}{step}" for side in "np" for step in range(1, 5)] + ["gain-z"]


@THEMES
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, ground) for text in ("ink", "muted", "accent") for ground in ("page", "card")),
        *((text, "card") for text in ("warm", "good", "bad")),
        *((text, f"{text}-soft") for text in ("warm", "good", "bad")),
        ("ink", "band"),
        ("ink", "warm-soft"),
        *((f"on-{gain}", gain) for gain in GAINS),
    ],
)
def test_text_has_the_contrast_of_level_aa(text, ground, dark):
    assert contrast(text, ground, dark=dark) >= 4.5


@THEMES
@pytest.mark.parametrize("line", ["accent", "warm", "muted", "bad"])
def test_lines_of_pictures_stand_out(line, dark):
    assert contrast(line, "card", dark=dark) >= 3.0


@pytest.mark.parametrize(
    ("gain", "scale", "name"),
    [
        (0.0, 0.2, "gain-z"),
        (0.00001, 0.2, "gain-z"),
        (0.2, 0.2, "gain-p4"),
        (0.01, 0.2, "gain-p1"),
        (-0.2, 0.2, "gain-n4"),
        (-0.11, 0.2, "gain-n3"),
        (0.3, 0.0, "gain-z"),
    ],
)
def test_a_gain_has_the_colour_of_its_step(gain, scale, name):
    assert gain_colour(gain, scale) == name


def test_markers_become_variables():
    assert with_variables(f"fill: {marker('ink')}; x") == "fill: var(--ink); x"
    assert "--ink:" in css_variables(dark=True)
    with pytest.raises(ValueError, match="mauve"):
        marker("mauve")
