"""The pages as they are built: strictly, whole, and without anything from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from fakes.documents import PAGES, ROOT, read_page


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    return folder


class _Loads(HTMLParser):
    """What a browser fetches to show a page, and the anchors that are there."""

    def __init__(self):
        super().__init__()
        self.loads, self.anchors = [], set()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video"):
            self.loads.append(found.get("src"))
        if tag == "link" and found.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(found.get("href"))
        if "id" in found:
            self.anchors.add(found["id"])


def _parsed(file):
    parser = _Loads()
    parser.feed(file.read_text(encoding="utf-8"))
    return parser


def _built(page):
    return page.replace("README.md", "index.md").removesuffix(".md") + ".html"


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site):
    for page in PAGES:
        file = site / _built(page)
        for address in filter(None, _parsed(file).loads):
            assert not re.match(r"(https?:)?//", address), f"{page} loads {address}"
            assert (file.parent / address).resolve().exists(), f"{page} lacks {address}"
    styles = "".join(one.read_text("utf-8") for one in site.rglob("*.css"))
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", styles)
    assert "@import" not in styles


def test_an_alert_s_anchor_is_its_name_in_lower_case(site):
    names = re.findall(r"^## (Cascade\w+)$", read_page("alerts.md"), re.MULTILINE)
    assert len(names) > 5
    assert {name.lower() for name in names} <= _parsed(site / "alerts.html").anchors


def test_the_page_of_decisions_lists_every_record(site):
    text = (site / "decisions" / "index.html").read_text(encoding="utf-8")
    records = [page for page in PAGES if re.match(r"decisions/\d", page)]
    assert len(records) > 15
    for record in records:
        assert f'href="{record.removeprefix("decisions/").removesuffix(".md")}.html"' in text


def test_examples_are_shown_as_they_are(site):
    text = (site / "examples.html").read_text(encoding="utf-8")
    plain = re.sub(r"<[^>]+>", "", text)
    assert "minImprovement: 0.02" in plain
    assert "--8&lt;--" not in text


def test_a_broken_link_fails_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# One\n\n[gone](#nowhere) and [away](two.md)\n")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = settings[: settings.index("\nnav:")] + "\n"
    settings = re.sub(r"^(hooks|not_in_nav|extra_css):.*\n", "", settings, flags=re.MULTILINE)
    settings = settings.replace("base_path: [examples]", "base_path: [docs]")
    (tmp_path / "mkdocs.yml").write_text(settings)
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert build.returncode == 1
    assert "#nowhere" in build.stderr
    assert "two.md" in build.stderr
