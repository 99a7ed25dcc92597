"""Runs calls side by side, bounded, and leaves at once when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_SECONDS = 0.5
"""How soon a stop is noticed while every call waits for its server."""


class BoundedBatch:
    """Maps a function over items in threads.

    A thread that waits for a model server cannot be interrupted. So leaving means: no further
    call begins, the error is raised at once, and calls in flight end unheard (their answers still
    reach the shared cache).

    Args:
        limit: Calls in flight at most.
        check: Asked before each call and while waiting; raises to leave.
    """

    def __init__(self, limit: int, check: Callable[[], None]) -> None:
        self._limit = max(1, limit)
        self._check = check

    def map(self, call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Returns the results in the order of the items.

        Raises:
            Exception: The first error in the order of the items, or what ``check`` raised.
        """
        if self._limit == 1 or len(items) <= 1:
            return [self._checked(call, item) for item in items]
        stopped = threading.Event()

        def guarded(item: Item) -> Result:
            if stopped.is_set():
                raise _LeftOutError
            return call(item)

        executor = ThreadPoolExecutor(min(self._limit, len(items)), thread_name_prefix="calls")
        try:
            futures = [executor.submit(guarded, item) for item in items]
            self._wait(futures)
            return [future.result() for future in futures]
        except BaseException:
            stopped.set()
            raise
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _checked(self, call: Callable[[Item], Result], item: Item) -> Result:
        self._check()
        return call(item)

    def _wait(self, futures: Sequence[Future[Result]]) -> None:
        waiting = set(futures)
        while waiting:
            self._check()
            done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future in done and (error := future.exception()) is not None:
                    raise error


class _LeftOutError(Exception):
    """A call that did not begin because the batch was left."""
