"""Two texts as one, with what was taken out and what was put in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal

from cascade_operator.report.visible import shortened, visible

Kind = Literal["same", "out", "in"]
_WORD: Final = re.compile(r"\s+|\w+|[^\w\s]")
_ALIKE: Final = 0.55
"""Lines less alike than this are shown one after the other; between words they would be a mess."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line: as it was, taken out, put in, or ``both`` where only words of it changed."""

    kind: Literal["same", "out", "in", "both"]
    pieces: tuple[Piece, ...]


def diff_lines(before: str, after: str) -> tuple[DiffLine, ...]:
    """Returns the lines of both texts, long ones cut, invisible characters named."""
    old = visible(shortened(before)).split("\n") if before else []
    new = visible(shortened(after)).split("\n") if after else []
    return tuple(_lines(old, new))


def _lines(old: list[str], new: list[str]) -> Iterator[DiffLine]:
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (DiffLine("same", (Piece("same", line),)) for line in old[a:b])
            continue
        if b - a == d - c:
            words = [_words(x, y) for x, y in zip(old[a:b], new[c:d], strict=True)]
            if all(words):
                yield from (DiffLine("both", line) for line in words)
                continue
        yield from (DiffLine("out", (Piece("out", line),)) for line in old[a:b])
        yield from (DiffLine("in", (Piece("in", line),)) for line in new[c:d])


def _words(old: str, new: str) -> tuple[Piece, ...]:
    """The words of two lines as one; nothing where they are not alike."""
    before, after = _WORD.findall(old), _WORD.findall(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.quick_ratio() < _ALIKE or matcher.ratio() < _ALIKE:
        return ()
    pieces: list[Piece] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(before[a:b])))
            continue
        pieces += [Piece("out", "".join(before[a:b]))] * (b > a)
        pieces += [Piece("in", "".join(after[c:d]))] * (d > c)
    return tuple(pieces)
