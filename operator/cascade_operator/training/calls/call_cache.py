"""The shared cache of model answers: each distinct request is computed once, by one Job."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import redis

from cascade_operator.api.errors import Terminated
from cascade_operator.training.calls.cache_entries import (
    MAX_STORED,
    LocalEntries,
    packed,
    unpacked,
)
from cascade_operator.training.calls.flight import Along, CacheFigures, Fetched, Flight, Wanted
from cascade_operator.training.calls.lease import Command, LeaseKeeper

__all__ = ["CacheFigures", "Fetched", "SingleFlightCache"]

_LOG = logging.getLogger(__name__)

TIME_TO_LIVE: Final = 24 * 3600
"""Seconds an entry lives in Redis: below the run's own data, so that it goes first."""

_PAUSE_AFTER_FAILURE: Final = 5.0
_FIRST_POLL, _LAST_POLL = 0.02, 1.0


class SingleFlightCache:
    """Looks a value up in the process, then in Redis, and else has it computed exactly once.

    Threads of one process wait for each other, Jobs wait by a lease in Redis. Whoever publishes
    first wins; a loser takes the winner's value, so that all Jobs go on with one answer. Redis is
    a help here and no condition: when it fails, values are computed without it.

    Args:
        client: Redis (bytes in and out), or None for this process alone.
        stop: Set when the Job has to leave; waiting ends with Terminated.
        local_bytes: What the process keeps itself.
        lease_seconds: Life of a lease without renewal.
        renew_every: Seconds between renewals.
        time_to_live: Seconds an entry lives in Redis.
    """

    def __init__(
        self,
        client: Any | None,
        *,
        stop: threading.Event | None = None,
        local_bytes: int = 16 * 1024 * 1024,
        lease_seconds: float = 30.0,
        renew_every: float = 10.0,
        time_to_live: float = TIME_TO_LIVE,
    ) -> None:
        self._client = client
        self._stop = stop or threading.Event()
        self._local = LocalEntries(local_bytes)
        self._leases = LeaseKeeper(client, seconds=lease_seconds, renew_every=renew_every)
        self._milliseconds = int(time_to_live * 1000)
        self._flights: dict[str, Flight] = {}
        self._lock = threading.Lock()
        self._paused_until = 0.0
        self._figures = dict.fromkeys(CacheFigures.__slots__, 0)

    def figures(self) -> CacheFigures:
        """Returns what the cache did so far."""
        with self._lock:
            return CacheFigures(**self._figures)

    def close(self) -> None:
        """Gives back the leases of calls in flight: the process is about to leave them behind."""
        self._leases.close()

    def get_or_compute(
        self,
        key: str,
        compute: Callable[[], bytes],
        *,
        acceptable: Callable[[bytes], bool] = lambda _: True,
    ) -> bytes:
        """Returns the value of a key; see :meth:`fetch`."""
        return self.fetch(key, compute, acceptable=acceptable).value

    def fetch(
        self,
        key: str,
        compute: Callable[[], bytes],
        *,
        acceptable: Callable[[bytes], bool] = lambda _: True,
        along: Along | None = None,
    ) -> Fetched:
        """Returns the value of a key, and how it was come by.

        A value that Redis has costs one round trip, one that is computed two.

        Args:
            key: The whole key in Redis.
            compute: Computes the value; its exceptions reach every caller that waits for it.
            acceptable: Whether a value may be shared. One found that is not is computed anew;
                one computed that is not is returned and kept nowhere.
            along: What else Redis is to be told once the value is computed.

        Raises:
            Terminated: The Job was told to stop while another computed the value.
        """
        value = self._local.get(key)
        if value is not None:
            self._count("hits")
            return Fetched(value, "hit")
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                mine = self._flights[key] = Flight()
        if flight is not None:
            return self._join(flight)
        try:
            fetched = self._lead(Wanted(key, compute, acceptable, along))
            mine.value = fetched.value
            return fetched
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                del self._flights[key]
            mine.landed.set()

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Returns the values that are there, in one round trip."""
        found = {key: value for key in keys if (value := self._local.get(key)) is not None}
        missing = [key for key in keys if key not in found]
        if missing:
            stored = self._redis(lambda client: client.mget(missing)) or [None] * len(missing)
            for key, data in zip(missing, stored, strict=True):
                value = None if data is None else unpacked(data)
                if value is not None:
                    self._local.put(key, value)
                    found[key] = value
                elif data is not None:
                    self._count("broken")
        self._count("hits", len(found))
        return found

    def publish_many(self, values: Mapping[str, bytes]) -> None:
        """Stores values computed by the caller, in one round trip; existing ones stay."""
        entries = {key: packed(value) for key, value in values.items()}
        self._count("computed", len(values))
        for key, value in values.items():
            self._local.put(key, value)

        def write(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for key, data in entries.items():
                if len(data) <= MAX_STORED:
                    pipeline.set(key, data, nx=True, px=self._milliseconds)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            return answers

        refused = sum(isinstance(one, Exception) for one in self._redis(write) or ())
        self._count("refused", refused + sum(len(d) > MAX_STORED for d in entries.values()))

    def _join(self, flight: Flight) -> Fetched:
        while not flight.landed.wait(_LAST_POLL):
            if self._stop.is_set():
                raise Terminated("told to stop while waiting for a model's answer")
        if flight.error is not None:
            raise flight.error
        self._count("hits")
        self._count("waits")
        return Fetched(flight.value, "wait")

    def _lead(self, wanted: Wanted) -> Fetched:
        key, lease = wanted.key, f"{wanted.key}:lease"
        waited, pause = False, _FIRST_POLL
        while True:
            found = self._redis(lambda _: self._leases.claim(key, lease))
            if found is None:
                return Fetched(self._computed(wanted, lease=None), "computed")
            if found is True:
                return Fetched(self._computed(wanted, lease=lease), "computed")
            if found is not False:
                value = self._usable(wanted, found)
                if value is None:
                    continue
                self._count("hits")
                self._count("waits", int(waited))
                self._local.put(key, value)
                return Fetched(value, "wait" if waited else "hit")
            waited = True
            if self._stop.wait(pause * random.uniform(0.75, 1.25)):
                raise Terminated("told to stop while another Job asked the model")
            pause = min(_LAST_POLL, pause * 1.5)

    def _computed(self, wanted: Wanted, *, lease: str | None) -> bytes:
        """Computes the value and publishes it under the lease, if there is one."""
        try:
            value = wanted.compute()
            self._count("computed")
            shared = wanted.acceptable(value)
            more = () if wanted.along is None else wanted.along.commands()
            winner, answers = self._finish(wanted.key, lease, value if shared else None, more)
        except BaseException:
            if lease is not None:  # if it is still held
                self._leases.release(lease)
            raise
        if wanted.along is not None:
            wanted.along.sent(answers)
        if winner is not None:  # a lease was lost and its new holder was faster
            value = self._usable(wanted, winner) or value
        if shared:
            self._local.put(wanted.key, value)
        return value

    def _finish(
        self, key: str, lease: str | None, value: bytes | None, more: Sequence[Command]
    ) -> tuple[bytes | None, list[Any]]:
        """Publishes, gives the lease back and tells Redis the rest, in one round trip.

        Returns:
            The entry of whoever published before, and the answers to the rest; none of them
            where Redis gave none.
        """
        data = None if value is None else packed(value)
        if data is not None and len(data) > MAX_STORED:
            self._count("refused")
            data = None
        commands = [*more]
        if lease is not None:
            back = self._leases.giving_back(lease)
            if data is not None:
                back = self._leases.publication(key, lease, data, self._milliseconds)
            commands.append(back)

        def tell(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            return answers

        answers = self._redis(tell) if commands else None
        if answers is None:
            if lease is not None:
                self._leases.release(lease)
            return None, []
        if lease is None:
            return None, answers
        self._leases.given_back(lease)
        winner = answers.pop()
        if isinstance(winner, redis.RedisError):  # full, read-only: the lease is back even so
            self._count("refused")
            _LOG.debug("call cache: %s", winner)
        return winner if data is not None and isinstance(winner, bytes) else None, answers

    def _usable(self, wanted: Wanted, data: bytes) -> bytes | None:
        """Returns the value of an entry; one that is broken is removed."""
        value = unpacked(data)
        if value is not None and wanted.acceptable(value):
            return value
        self._count("broken")
        self._redis(lambda client: client.delete(wanted.key))
        return None

    def _redis(self, use: Callable[[Any], Any]) -> Any | None:
        """Uses Redis, or returns None: without one, and for a while after it failed."""
        if self._client is None or time.monotonic() < self._paused_until:
            return None
        try:
            return use(self._client)
        except redis.ResponseError as error:  # full, read-only: it answers, but takes nothing
            self._count("refused")
            _LOG.debug("call cache: %s", error)
            return None
        except redis.RedisError as error:
            self._paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE
            _LOG.warning("call cache: Redis does not answer (%s); going on without it", error)
            return None

    def _count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._figures[name] += by
