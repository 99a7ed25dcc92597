"""The report as one self-contained page: no script, nothing fetched, both themes."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from cascade_operator.report.diff import diff_lines
from cascade_operator.report.model import PromptView, ReportData
from cascade_operator.report.palette import css_variables
from cascade_operator.report.records_sections import records_section, settings_section
from cascade_operator.report.results_sections import (
    attribution_section,
    curves_section,
    lattice_section,
    node_names,
    scores_section,
)
from cascade_operator.report.running_sections import (
    calls_section,
    estimate_section,
    memory_section,
    timeline_section,
)
from cascade_operator.report.section import Picture, Section
from cascade_operator.report.summary import tiles
from cascade_operator.report.svg import drawing, to_svg
from cascade_operator.report.visible import shortened, visible

_TEMPLATES: Final = resources.files("cascade_operator.report") / "templates"
MOST_DEMONSTRATIONS: Final = 8
DEMONSTRATION: Final = 1500
"""Characters of one worked example that are shown."""


def sections(data: ReportData) -> tuple[Section, ...]:
    """Returns the report's sections, in reading order, the prompts aside."""
    return (
        scores_section(data),
        lattice_section(data),
        curves_section(data),
        attribution_section(data),
        calls_section(data),
        memory_section(data),
        timeline_section(data),
        estimate_section(data),
    )


def render_report(data: ReportData) -> str:
    """Returns the page; equal data gives an equal page."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = shortened
    template = environment.from_string(_text("report.html.jinja"))
    with drawing():
        return (
            template.render(
                data=data,
                tiles=tiles(data),
                sections=sections(data),
                closing=(records_section(data), settings_section(data)),
                prompts=[_prompt(view) for view in data.prompts],
                best_nodes="" if data.best is None else node_names(data, data.best),
                drawn=_drawn,
                style=Markup(_style()),  # noqa: S704 - our own file
                DEMONSTRATION=DEMONSTRATION,
            )
            + "\n"
        )


def _drawn(picture: Picture) -> Markup:
    svg = to_svg(picture.draw(), picture.name, visible(picture.title), visible(picture.description))
    return Markup(svg)  # noqa: S704 - matplotlib escapes texts, and to_svg what it adds


def _prompt(view: PromptView) -> dict[str, Any]:
    before = {one.text for one in view.demonstrations_before}
    return {
        "view": view,
        "changed": view.before != view.after,
        "lines": diff_lines(view.before, view.after),
        "demonstrations": [
            (one, one.text not in before) for one in view.demonstrations_after[:MOST_DEMONSTRATIONS]
        ],
        "more": max(0, len(view.demonstrations_after) - MOST_DEMONSTRATIONS),
    }


def _style() -> str:
    light, dark = css_variables(dark=False), css_variables(dark=True)
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media screen{{:root:has(#theme-light:checked){{color-scheme:light;{light}}}"
        f":root:has(#theme-dark:checked){{color-scheme:dark;{dark}}}}}\n" + _text("report.css")
    )


def _finalized(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
