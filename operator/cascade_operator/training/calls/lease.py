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


# One round trip for a look and a lease; the look is the later one's, too: between both nobody
# else's command runs, so a lease taken here is taken on a value that is not there.
_CLAIM: Final = (
    "local value = redis.call('GET', KEYS[1]) if value then return value end "
    "if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end return 0"
)
# Publishes, and gives the lease back, whatever became of the publication. Returns nothing, or the
# value of whoever was faster.
_PUBLISH: Final = (
    "local done = redis.pcall('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[3]) "
    "if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end "
    "if type(done) == 'table' and done.err then return done end "
    "if done then return false end return redis.call('GET', KEYS[1])"
)

Command = tuple[Any, ...]
"""A Redis command: its name and arguments."""

_CLOSE_SECONDS: Final = 2.0
"""How long leaving waits for leases that are being taken at that moment."""


class LeaseKeeper:
    """Takes leases, and renews the held ones from one thread that ends when none is left.

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
        self._closing = threading.Event()
        self._taking = 0

    def claim(self, value_key: str, key: str) -> bytes | bool:
        """Looks a value up and, where it is not there, tries to take the lease on it.

        Args:
            value_key: The value's key.
            key: The lease's; renewed until it is given back.

        Returns:
            The value, or whether the lease is ours now.

        Raises:
            redis.RedisError: Redis does not answer, or takes no lease.
        """
        token = secrets.token_hex(16).encode()
        with self._changed:
            closed = self._closed
            self._taking += not closed
        if closed:
            value: bytes | None = self._client.get(value_key)
            return False if value is None else value
        try:
            found = self._client.eval(_CLAIM, 2, value_key, key, token, self._milliseconds)
            if found == 1:
                self._hold(key, token)
        finally:
            with self._changed:
                self._taking -= 1
                self._changed.notify_all()
        return bytes(found) if isinstance(found, bytes | bytearray) else found == 1

    def publication(self, value_key: str, key: str, data: bytes, milliseconds: int) -> Command:
        """Returns the command that publishes a value and gives the lease back.

        It answers nothing, or the value of whoever published before; :meth:`given_back` follows
        once it was answered.

        Args:
            value_key: The value's key.
            key: The lease's; held or not.
            data: The value.
            milliseconds: How long the value lives.
        """
        return ("EVAL", _PUBLISH, 2, value_key, key, self._token(key), data, milliseconds)

    def giving_back(self, key: str) -> Command:
        """Returns the command that gives a lease back; :meth:`given_back` follows."""
        return ("EVAL", _RELEASE, 1, key, self._token(key))

    def given_back(self, key: str) -> None:
        """Notes that a lease is no longer ours."""
        with self._changed:
            self._held.pop(key, None)
            self._changed.notify_all()

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
        self._closing.set()

    def release(self, key: str) -> None:
        """Gives a lease back, if it is still ours. Errors are ignored: it expires by itself."""
        with self._changed:
            token = self._held.get(key)
        if token is None:
            return
        self._compare_and(_RELEASE, key, token)
        # Only now: a process that leaves meanwhile must know that it is not yet given back.
        self.given_back(key)

    def _token(self, key: str) -> bytes:
        with self._changed:
            return self._held.get(key, b"")

    def _hold(self, key: str, token: bytes) -> None:
        with self._changed:
            self._held[key] = token
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, name="lease-renewal", daemon=True).start()

    def _renew(self) -> None:
        # It outlives a lease until its next turn: a thread for each call would cost more.
        while not self._closing.wait(self._renew_every):
            with self._changed:
                held = list(self._held.items())
                if not held:
                    self._renewing = False
                    return
            for key, token in held:
                self._compare_and(_RENEW, key, token, self._milliseconds)

    def _compare_and(self, script: str, key: str, *arguments: Any) -> None:
        try:
            self._client.eval(script, 1, key, *arguments)
        except redis.RedisError as error:
            _LOG.debug("lease %s: %s", key, error)
