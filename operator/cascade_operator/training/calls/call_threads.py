"""Threads that can be left behind, used again: a thread for each call costs more than the call."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

Task = Callable[[], None]

_IDLE_SECONDS: Final = 30.0


class CallThreads:
    """Runs tasks at once, each in a thread of its own; none waits for another.

    The threads are daemons: one that hangs in a socket holds no interpreter. Idle ones end after
    half a minute. Safe to use from several threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[queue.SimpleQueue[Task]] = []
        self._lock = threading.Lock()

    def run(self, task: Task) -> None:
        """Starts a task, which raises nothing."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(inbox,), name=self._name, daemon=True).start()
        inbox.put(task)

    def _work(self, inbox: queue.SimpleQueue[Task]) -> None:
        while True:
            try:
                task = inbox.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if inbox in self._idle:
                        self._idle.remove(inbox)
                        return
                continue  # somebody has just taken it: a task is on its way
            task()
            with self._lock:
                self._idle.append(inbox)
