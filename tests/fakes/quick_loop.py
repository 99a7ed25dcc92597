"""An event loop whose time passes at once: a minute's wait in a test takes no minute."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.SelectSelector):
    """Waits for nothing: the time it would have waited passes instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout > 0:
            self.now += timeout
        return super().select(0)


class QuickLoop(asyncio.SelectorEventLoop):
    """For code that waits on nothing but time and other tasks."""

    def __init__(self) -> None:
        self._quick = _Selector()
        super().__init__(self._quick)

    def time(self) -> float:
        return self._quick.now


def run_quickly(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine in such a loop."""
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(work)
