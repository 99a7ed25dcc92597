"""Text of any origin, made safe to look at: what would be invisible or reorder the line is named.

Escaping for HTML is the template's; this is about what HTML passes on: control characters, the
controls of writing direction that make a text read as another one (CVE-2021-42574), half
characters, and sheer length.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MOST: Final = 6000
"""Characters of one text that are shown."""
_KEPT: Final = frozenset("\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Line breaks, and what scripts and emoji are joined with."""
_NAMED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str) -> str:
    """Returns the text with each character that cannot be seen named: ``⟨U+202E⟩``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char in _KEPT or unicodedata.category(char) not in _NAMED
        else f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{ord(char):04X}"
        "\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
        for char in text
    )


def shortened(text: str, most: int = MOST) -> str:
    """Returns the text, cut at ``most`` characters with a word on how many are missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut here: {len(text) - most:,} more characters]"
