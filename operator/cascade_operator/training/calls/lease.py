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

    def acquire(self, key: str) -> bool:
        """Tries to take a lease; renewed until :meth:`release`.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        token = secrets.token_hex(16).encode()
        if not self._client.set(key, token, nx=True, px=self._milliseconds):
            return False
        with self._changed:
            self._held[key] = token
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, name="lease-renewal", daemon=True).start()
        return True

    def release(self, key: str) -> None:
        """Gives a lease back, if it is still ours. Errors are ignored: it expires by itself."""
        with self._changed:
            token = self._held.pop(key, None)
            self._changed.notify_all()
        if token is not None:
            self._compare_and(_RELEASE, key, token)

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
