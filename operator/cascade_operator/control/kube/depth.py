"""Objects nested as deep as an API server takes them (80): they must cost nobody but themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_DEEPEST: Final = 25_000
"""Calls in one another that are let be. An API server takes objects of 10,000 levels; a level takes
two calls of some of the code that reads it, and about 200 bytes of a main thread's stack of 8 MiB.
"""


@contextmanager
def deep_objects() -> Iterator[None]:
    """Lets this process read the deepest objects while the block lasts.

    Any user's ``jobTemplate`` may be one. With Python's own limit, a thousand levels, it would stop
    every list and every watch that it is in, and so the whole operator.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
