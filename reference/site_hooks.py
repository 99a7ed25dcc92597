"""What MkDocs is told while it builds: the list of decisions is made of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

_INDEX: Final = "decisions/README.md"


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Adds to the page on decisions a line for each record."""
    if page.file.src_uri != _INDEX:
        return markdown
    folder = Path(config["docs_dir"], _INDEX).parent
    lines = [_line(record) for record in sorted(folder.glob("[0-9]*.md"))]
    return f"{markdown}\n{''.join(lines)}"


def _line(record: Path) -> str:
    title = record.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    # Unescaped, a number and a point would begin a list within the list.
    return "- [{}]({})\n".format(title.replace(". ", "\\. ", 1), record.name)
