"""Leases in Redis: who of many Jobs computes a value that all of them want."""

from __future__ import annotations

import logging
import secrets
import threading
from typing import Any, Final

import redis

_LOG = logging.getLogger(__name__)

# Compare, then change: a lease that expired meanwhile may be somebody else's by now.
_RENEW: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then "
    "return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
)
_RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


_CLOSE_SECONDS: Final = 2.0
"""How long leaving waits for leases that are being taken at that moment."""


class LeaseKeeper:
    """Takes leases, and renews the held ones from one thread that lives only as long as any is.

    A holder that dies loses its lease after ``seconds``; one that is merely slow keeps it.

    Args:
        client: Redis, bytes in and out.
        seconds: A lease's life without renewal.
        renew_every: Seconds between renewals.
    """

    def __init__(self, client: Any, *, seconds: float = 30.0, renew_every: float = 10.0) -> None:
        self._client = client
        self._milliseconds = int(seconds * 1000)
        self._renew_every = renew_every
        self._held: dict[str, bytes] = {}
        self._changed = threading.Condition()
        self._renewing = False
        self._closed = False
        self._taking = 0

    def acquire(self, key: str) -> bool:
        """Tries to take a lease; renewed until :meth:`release`.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        token = secrets.token_hex(16).encode()
        with self._changed:
            if self._closed:
                return False
            self._taking += 1
        try:
            taken = bool(self._client.set(key, token, nx=True, px=self._milliseconds))
            if taken:
                self._hold(key, token)
        finally:
            with self._changed:
                self._taking -= 1
                self._changed.notify_all()
        return taken

    def close(self) -> None:
        """Gives every lease back and takes none any more: its process is about to leave.

        A call in flight then ends unheard, and who asks next need not wait for its lease to expire.
        """
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._taking, timeout=_CLOSE_SECONDS)
            held = list(self._held)
        for key in held:
            self.release(key)

    def release(self, key: str) -> None:
        """Gives a lease back, if it is still ours. Errors are ignored: it expires by itself."""
        with self._changed:
            token = self._held.get(key)
        if token is None:
            return
        self._compare_and(_RELEASE, key, token)
        # Only now: a process that leaves meanwhile must know that it is not yet given back.
        with self._changed:
            if self._held.get(key) == token:
                del self._held[key]
            self._changed.notify_all()

    def _hold(self, key: str, token: bytes) -> None:
        with self._changed:
            self._held[key] = token
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, name="lease-renewal", daemon=True).start()

    def _renew(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._held, timeout=self._renew_every)
                if not self._held:
                    self._renewing = False
                    return
                held = list(self._held.items())
            for key, token in held:
                self._compare_and(_RENEW, key, token, self._milliseconds)

    def _compare_and(self, script: str, key: str, *arguments: Any) -> None:
        try:
            self._client.eval(script, 1, key, *arguments)
        except redis.RedisError as error:
            _LOG.debug("lease %s: %s", key, error)
