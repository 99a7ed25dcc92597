"""The end of a row of signs that come one after another (80)."""

from __future__ import annotations

import asyncio


class Lull:
    """Comes when no sign has been given for a while. Used from one event loop.

    One timer at a time, however many signs there are.
    """

    def __init__(self, seconds: float) -> None:
        """Waits for a first sign.

        Args:
            seconds: Of silence.
        """
        self._seconds = seconds
        self._last_sign = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._come = asyncio.Event()

    def sign(self) -> None:
        """Gives a sign."""
        self._last_sign = asyncio.get_running_loop().time()
        if self._timer is None:
            self._look_after(self._seconds)

    async def wait(self) -> None:
        """Waits for the next lull."""
        await self._come.wait()
        self._come.clear()

    def _look_after(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._last_sign + self._seconds - asyncio.get_running_loop().time()
        if left > 0:
            self._look_after(left)
        else:
            self._timer = None
            self._come.set()
