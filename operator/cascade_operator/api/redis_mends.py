"""What to do about a Redis that fails, by its own words. Pure."""

from __future__ import annotations

import re
from typing import Final

_BY_WORDS: Final = (
    (
        r"used memory > 'maxmemory'|^OOM\b",
        "Give Redis more memory (maxmemory), with maxmemory-policy volatile-ttl: then the shared "
        "cache makes room first.",
    ),
    (
        r"read[ -]?only replica|^READONLY\b",
        "Name the primary in spec.redis.url: a read-only replica answers there.",
    ),
    (
        r"MISCONF|AOF|RDB|persist",
        "Free space on the disk that Redis keeps its data on, and read its log.",
    ),
    (
        r"WRONGPASS|NOAUTH|username-password|authentication|authenticated",
        "Check the password in the Secret that spec.redis.passwordSecretRef names.",
    ),
    (r"NOPERM|no permissions", "Let the user of spec.redis read, write and run scripts."),
    (
        r"protocol error|invalid response",
        "What answers there is no Redis: check host and port in spec.redis.url.",
    ),
)
_OTHERWISE: Final = "Check that it runs and can be reached, and spec.redis."


def redis_mend(error: Exception) -> str:
    """Returns what to do about an error of a Redis client; never empty."""
    said = str(error)
    for words, mend in _BY_WORDS:
        if re.search(words, said, re.IGNORECASE):
            return mend
    return _OTHERWISE
