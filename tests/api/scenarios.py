"""What a session asks of the workers that kwok plays: annotations in its ``jobTemplate``.

A setting may be narrowed: ``outcome.00_02.a1`` is for the first attempt of group 00_02,
``outcome.archive`` for archive Jobs, ``outcome.group.a2`` for second attempts of groups,
``outcome.a1`` for first attempts, ``outcome`` for all. The narrowest wins. A test may also annotate
a running pod, which is then played anew.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "testbed.cascade-operator.dev/"

OUTCOME: Final = "outcome"
"""How the worker ends: ``complete`` (default), ``no-message`` and ``garbage-message`` (successes),
``oom``, ``gate``, ``fail-N`` with an exit code, ``evict``, ``image-pull`` and ``config-error``
(it never starts), ``hold`` (it runs until the annotation changes)."""

MESSAGE: Final = "message"
"""The termination message itself, as text, instead of the one the outcome would leave."""

START_SECONDS: Final = "start-seconds"
"""Between the pod's placing and its running; default 0."""

RUN_SECONDS: Final = "run-seconds"
"""How long it runs, such as ``"0.2"``; default 1."""

RUN_UNTIL: Final = "run-until"
"""When it ends, as RFC 3339, instead: all of a session, or of many, at one instant."""

GRACE_SECONDS: Final = "grace-seconds"
"""How long it takes to leave when told to stop; default 0.2."""


def scenario(**settings: str) -> dict[str, str]:
    """Annotations for ``spec.jobTemplate.metadata.annotations``.

    ``scenario(outcome="complete", outcome_a1="oom")`` writes ``outcome`` and ``outcome.a1``; give
    narrower or hyphenated names as a dict: ``scenario(**{"outcome.00_02.a1": "gate"})``.
    """
    names = {name: name.replace("_a", ".a") if "." not in name else name for name in settings}
    return {PREFIX + names[name]: value for name, value in settings.items()}
