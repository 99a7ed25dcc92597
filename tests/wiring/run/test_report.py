"""A real run's report, opened in Chromium as its readers do: on a phone, on a desk, in the dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fakes.browser import chromium
from fakes.cascade_cli import cascade
from fakes.ticket_runs import NAME

pytestmark = [pytest.mark.process]

SCREENS = {"phone": (390, 844), "desk": (1440, 900)}
CARD = {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 28, 35)"}
OVERLAPPING_TEXTS = """
svg => {
  const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim());
  const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 3) found.push(`${one} | ${other}`);
  }));
  return found;
}
"""
SMALLEST_TEXT = """
svg => Math.min(...[...svg.querySelectorAll('text')].map(t => {
  const matrix = t.getScreenCTM();
  return parseFloat(getComputedStyle(t).fontSize) * Math.hypot(matrix.a, matrix.b);
}))
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_file(undisturbed) -> Path:
    return undisturbed.run.state / "runs" / undisturbed.run.session_id / "report.html"


@pytest.fixture(
    params=[(screen, scheme) for screen in SCREENS for scheme in CARD],
    ids="-".join,
)
def opened(request, browser, page_file):
    """The page on a screen, its scheme, and all it said and asked for."""
    screen, scheme = request.param
    width, height = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda asked: said.append(f"request: {asked.url}"))
    page.on("requestfailed", lambda failed: said.append(f"failed: {failed.url}"))
    page.goto(page_file.as_uri())
    yield page, screen, scheme, said
    context.close()


def test_a_report_opens_without_a_word_and_asks_for_nothing(opened, page_file):
    page, _, _, said = opened
    page.wait_for_load_state("networkidle")
    assert said == [f"request: {page_file.as_uri()}"]
    assert page.title().startswith(NAME)


def test_nothing_is_wider_than_the_screen(opened):
    page, *_ = opened
    for _ in range(2):
        wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= screen
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


def test_each_picture_has_words_and_can_be_read(opened):
    page, screen, *_ = opened
    pictures = page.locator("svg.picture")
    assert pictures.count() == 6  # attribution needs every subset, and this run has four
    for picture in pictures.all():
        title = picture.locator("title").first.text_content()
        assert page.get_by_role("img", name=title).count() == 1
        assert picture.evaluate(SMALLEST_TEXT) >= (9.0 if screen == "phone" else 11.5)
        assert picture.evaluate(OVERLAPPING_TEXTS) == [], title
        assert picture.evaluate("svg => svg.closest('section').querySelectorAll('table').length")


def test_the_theme_follows_the_reader_and_can_be_chosen(opened):
    page, _, scheme, _ = opened

    def card() -> str:
        return page.locator(".card").first.evaluate("e => getComputedStyle(e).backgroundColor")

    assert card() == CARD[scheme]
    for name in ("Dark", "Light"):
        page.get_by_role("radio", name=name).check()
        assert card() == CARD[name.lower()]
    page.get_by_role("radio", name="Auto").check()
    assert card() == CARD[scheme]


def test_the_keyboard_reaches_the_report_and_its_tables(opened):
    page, *_ = opened
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    page.wait_for_url("**#main")
    summary = page.locator("#scores summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#scores table").is_visible()


def test_the_report_says_what_the_status_says(undisturbed, page_file):
    text = page_file.read_text()
    best = undisturbed.run.status["best"]
    assert best["score"] in text
    assert best["heldOut"] in text
    assert re.search(r"Model calls [\d,]+, estimated [\d,]+ \(", text)
    assert f"report {page_file}" in undisturbed.ended.text


def test_the_archives_have_it_beside_them_and_it_can_be_made_from_them_alone(
    undisturbed, tmp_path: Path
):
    files = undisturbed.run.archive_files()
    (left,) = files[0].parent.glob("*_report.html")
    assert left.name == f"{undisturbed.run.session_id}_report.html"
    made = tmp_path / "made.html"
    ended = cascade("report", *files, "--output", made)
    assert ended.code == 0, ended.text
    assert made.read_bytes() == left.read_bytes()


def test_a_former_run_has_its_own(retrained, undisturbed):
    state = retrained.run.state
    ended = cascade("report", undisturbed.run.session_id, "--state", state)
    assert ended.code == 0, ended.text
    former, latest = (
        (state / "runs" / run / "report.html").read_text()
        for run in (undisturbed.run.session_id, retrained.run.session_id)
    )
    assert "The run started cold" in former
    assert f"The run started warm from {undisturbed.run.session_id}" in latest
