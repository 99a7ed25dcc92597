"""Names of a run's objects (02): deterministic, at most 63 characters.

A name says session, run, stage or group, and attempt: ``triage-r3-00-02-a2``. A retried write thus
meets the object it made before, and a reader of ``kubectl get jobs`` sees what each one is.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

MAX_NAME: Final = 63
"""A Job's name becomes a label of its pod, and a label's value has at most 63 characters."""

_HASH_LENGTH: Final = 8

# Only in this order do these letters stand in front of a number in a name of ours.
_RUN, _ATTEMPT = "r", "a"
_CONFIG_MAP: Final = re.compile(rf"-{_RUN}([0-9]{{1,10}})-config$", re.ASCII)


def job_name(session: str, run: int, part: str, attempt: int = 1) -> str:
    """Names the Job of one attempt.

    Args:
        session: The TrainingSession's name.
        run: The run's number, from 1.
        part: ``prepare``, ``archive-<n>`` or a group's slug such as ``00-02``.
        attempt: From 1; the first has no suffix.
    """
    suffix = f"-{_RUN}{run}-{part}"
    if attempt > 1:
        suffix += f"-{_ATTEMPT}{attempt}"
    return _with_suffix(session, suffix)


def config_map_name(session: str, run: int) -> str:
    """Names the ConfigMap that holds a run's resolved configuration."""
    return _with_suffix(session, f"-{_RUN}{run}-config")


def run_of_config_map(name: str) -> int | None:
    """The run whose configuration a ConfigMap of this name holds; None where it is none of ours."""
    match = _CONFIG_MAP.search(name)
    return int(match[1]) if match else None


def label_value(text: str) -> str:
    """Shortens an object's name to what a label may hold; the hash keeps it distinct."""
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - _HASH_LENGTH - 1]}-{_hash(text)}"


def _with_suffix(session: str, suffix: str) -> str:
    """Joins a session's name and a suffix, shortening the former where it must be.

    A dot is legal in a session's name, but a pod's hostname is made from its Job's name and cannot
    hold one; such names get the hash too, so that ``a.b`` and ``a-b`` stay apart.
    """
    plain = session.replace(".", "-")
    if plain == session and len(session) + len(suffix) <= MAX_NAME:
        return session + suffix
    room = MAX_NAME - len(suffix) - _HASH_LENGTH - 1
    return f"{plain[: max(room, 0)].rstrip('-')}-{_hash(session)}{suffix}".lstrip("-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
