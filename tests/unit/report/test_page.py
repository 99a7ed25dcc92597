"""The page: self-contained, accessible, bounded, the same bytes each time, deaf to hostile text."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from cascade_operator.report.build import RunSources, build_report
from cascade_operator.report.page import render_report
from fakes.report_runs import archive, pool, records, sources

HOSTILE = (
    "</script></style></title><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}{% raw %}",
    "]]></svg><svg onload=alert(3)>",
    "evil\u202etxt.exe\x00\ud800",
)
VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """The page's elements in order, checked for balance."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def _render(*args, **changes):
    return render_report(build_report(sources(*args, **changes)))


@pytest.fixture(scope="module")
def page():
    return Page(_render(4))


def test_equal_data_gives_equal_bytes():
    assert _render(2) == _render(2)


@pytest.mark.parametrize(("nodes", "most"), [(1, 400_000), (4, 600_000), (6, 1_500_000)])
def test_a_page_is_bounded(nodes, most):
    assert len(_render(nodes).encode()) < most


def test_a_page_runs_nothing_and_loads_nothing(page):
    names = {name for name, _ in page.elements}
    assert not names & {"script", "img", "iframe", "object", "embed", "base", "form"}
    policy = next(m["content"] for m in page.named("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))


def test_each_id_stands_once_and_each_reference_has_its_target(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "href", "xlink:href"):
            for target in (attributes.get(name) or "").split():
                if not target.startswith("data:"):
                    assert target.removeprefix("#") in ids
        for value in attributes.values():
            for target in re.findall(r"url\(#([^)]+)\)", value or ""):
                assert target in ids


def test_each_picture_has_its_words_and_its_table():
    text = _render(4)
    pictures = re.findall(r'<svg class="picture".*?</svg>', text, re.DOTALL)
    assert len(pictures) == 7
    for picture in pictures:
        root = ElementTree.fromstring(picture.replace("<svg ", '<svg xmlns="s" ', 1))
        assert root.attrib["role"] == "img"
        title, description = root.findtext("{s}title"), root.findtext("{s}desc")
        assert title
        assert len(description) > 40
    assert text.count("As a table: ") == 7


def test_headings_do_not_skip_a_level(page):
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_pictures_are_drawn_in_the_themes_colours_alone(page):
    for name, attributes in page.elements:
        style = attributes.get("style") or ""
        if name in {"path", "use", "text", "g", "rect"}:
            assert not re.search(r"#[0-9a-fA-F]{3,8}\b", style), style


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "image", "template", "svg", "bidi"])
def test_hostile_text_is_shown_and_does_nothing(text):
    documents = {
        "18_records.json": records(
            rejected={"total": 1, "rows": [{"row": 1, "recordId": text, "reason": text}]},
            notes={"total": 1, "shown": [text]},
            warmStartedFrom=text,
            traceMetrics={text: {text: {"mean": 1.0, "records": 1}}},
        ),
        "62_timeline.json": {
            "jobs": [
                {"job": job, "attempt": 1, "start": 1, "seconds": 9, "outcome": text}
                for job in ("00", text)
            ]
        },
    }
    documents = {name: json.dumps(value).encode() for name, value in documents.items()}
    data = build_report(
        replace(
            sources(2, documents=documents, candidates_json=pool(2, text).to_bytes()),
            session=text,
            namespace=text,
            notes=(text,),
        )
    )
    found = render_report(data)
    found.encode()
    page = Page(found)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "img"}
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert len(page.named("title")) == 1 + found.count('<title id="')
    assert not re.search("[\x00\u202e\ud800]", found)
    if "\u202e" in text:
        assert "evil⟨U+202E⟩txt.exe⟨U+0000⟩" in page.text
    else:
        assert text in page.text


def test_huge_prompts_are_cut_with_a_note():
    data = build_report(sources(2))
    prompt = replace(data.prompts[0], before="a " * 500_000, after="b " * 500_000)
    found = render_report(replace(data, prompts=(prompt,) * 6))
    assert len(found) < 1_500_000
    assert "[cut here: 994,000 more characters]" in found


def test_writing_from_right_to_left_has_its_own_direction():
    data = build_report(sources(1))
    prompt = replace(data.prompts[0], after="כתוב את התשובה")
    found = render_report(replace(data, prompts=(prompt,)))
    assert '<div class="diff" dir="auto">' in found
    assert "כתוב את התשובה" in found


def test_a_run_without_anything_yet_is_a_page():
    page = Page(render_report(build_report(RunSources("team-a", "support", "20260102T030405Z"))))
    assert "No group has been scored." in page.text
    assert page.named("svg") == []


def test_what_is_missing_is_said_at_the_head():
    text = render_report(build_report(replace(sources(1), notes=("size 02 was not given",))))
    assert text.index("This report is not whole.") < text.index("<main")
    assert "This report is not whole." not in render_report(build_report(sources(1)))


@pytest.mark.parametrize("gain", [0.0, -0.3, 0.9], ids=["none", "worse", "much"])
def test_any_gain_can_be_drawn(gain):
    assert Page(_render(3, gain=gain)).named("svg")


def test_a_run_of_one_trial_and_one_record_can_be_drawn():
    run = archive(1)
    result = json.loads(json.dumps(run.groups["00"].result))
    outcome = result["outcome"]
    outcome["trials"] = outcome["trials"][:1]
    outcome["trials"][0] |= {"scores": [0.5], "score": 0.5}
    outcome |= {"heldOutScores": [], "baselineHeldOutScores": [], "heldOut": None}
    groups = {"00": replace(run.groups["00"], result=result)}
    assert Page(_render(1, groups=groups)).named("svg")
