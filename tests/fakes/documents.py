"""Snippets of the documentation, as the tests run them: taken from the page, never copied."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def read_page(page: str) -> str:
    """A page's text."""
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a language that a page shows, with what they include."""
    return [
        _INCLUDED.sub(lambda found: (EXAMPLES / found[1]).read_text(encoding="utf-8"), text)
        for _, name, text in _FENCE.findall(read_page(page))
        if name == language
    ]


def command_lines(page: str) -> list[str]:
    """The command lines that a page shows, in its order; one over several lines is joined."""
    return [
        line.strip()
        for text in blocks(page, "sh")
        for line in re.sub(r"\\\n *", "", text).splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]


def without_blocks(page: str) -> str:
    """A page's text without its code blocks."""
    return _FENCE.sub("", read_page(page))


def yaml_snippets(page: str) -> list[dict[str, Any]]:
    """The YAML objects that a page shows, in its order."""
    return [one for text in blocks(page, "yaml") for one in yaml.safe_load_all(text)]


def snippet(page: str, kind: str, name: str) -> dict[str, Any]:
    """The one object of a kind and name that a page shows."""
    (found,) = [
        one for one in yaml_snippets(page) if (one["kind"], one["metadata"]["name"]) == (kind, name)
    ]
    return found
