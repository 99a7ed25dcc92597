"""Stages 73 and 74: leave with a checkpoint before the kernel kills, and remember the peak."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Final, Self

from cascade_operator.api.errors import MemoryGateReached
from cascade_operator.resources.cgroup import MemoryReading
from cascade_operator.resources.processes import MemoryReader

_LOG = logging.getLogger("cascade")
_MIB: Final = 2**20
SAMPLE_SECONDS: Final = 1.0


class MemoryGate:
    """Watches memory use against a threshold below the limit.

    Once a sample has reached the threshold the gate stays reached: a trial that was left early for
    it must end in a checkpoint, even if the memory it held is free by then.

    Use it as a context manager to sample in the background; ``check()`` alone needs no thread.

    Args:
        limit_bytes: The Job's limit; the reading's own counts where it is lower or this is None.
        threshold_percent: Of the limit, 1 to 100.
        reader: Takes one reading; called from two threads.
        interval: Seconds between background samples.

    Raises:
        ValueError: The threshold is no percentage.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        threshold_percent: float,
        reader: MemoryReader,
        *,
        interval: float = SAMPLE_SECONDS,
    ) -> None:
        if not 0 < threshold_percent <= 100:
            raise ValueError(f"a memory threshold of {threshold_percent} % makes no sense")
        self._limit_bytes = limit_bytes
        self._threshold_percent = threshold_percent
        self._reader = reader
        self._interval = interval
        self._lock = threading.Lock()
        self._peak = 0
        self._crossing: MemoryReading | None = None
        self._stop = threading.Event()
        self._sampler: threading.Thread | None = None

    @property
    def peak(self) -> int:
        """The largest working set seen, in bytes."""
        return self._peak

    @property
    def reached(self) -> bool:
        """True once a sample reached the threshold. Costs nothing: ask it inside a trial."""
        return self._crossing is not None

    def sample(self) -> MemoryReading:
        """Takes one reading, keeps the peak, and marks the gate when the threshold is reached.

        Returns:
            The reading, its limit lowered to the Job's.
        """
        reading = self._reader()
        if self._limit_bytes is not None and self._limit_bytes < reading.limit:
            reading = MemoryReading(
                reading.working_set, self._limit_bytes, reading.source, limited=True
            )
        with self._lock:
            self._peak = max(self._peak, reading.working_set)
            if self._crossing is None and reading.percent >= self._threshold_percent:
                self._crossing = reading
        return reading

    def check(self) -> None:
        """Takes a sample; called between trials.

        Raises:
            MemoryGateReached: Now, or since the last check in the background.
        """
        self.sample()
        crossing = self._crossing
        if crossing is None:
            return
        raise MemoryGateReached(
            f"memory gate reached: {_mib(crossing.working_set)} in use are"
            f" {crossing.percent:.0f} % of the limit of {_mib(crossing.limit)}"
            f" (gate at {self._threshold_percent:g} %, read from {crossing.source})",
            mend="The next attempt gets more memory, up to memory.maxPerJob; raise that or the"
            " stage's limit under resources if it does not suffice.",
        )

    def start(self) -> None:
        """Starts the background sampler; a second call changes nothing."""
        if self._sampler is None:
            self._stop.clear()
            self._sampler = threading.Thread(
                target=self._run, name="cascade-memory-gate", daemon=True
            )
            self._sampler.start()

    def stop(self) -> None:
        """Ends the background sampler and waits for it."""
        self._stop.set()
        if self._sampler is not None:
            self._sampler.join()
            self._sampler = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.sample()
            except OSError as error:
                # A reading that fails now and then must not end the watch.
                _LOG.warning("73 memory-gate: no reading: %s", error)


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f} MiB"
