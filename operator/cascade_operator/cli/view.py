"""What a reader of a running session sees, taken from one snapshot of it. Pure.

The live table, the plain lines and the JSON events all read this, so that they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallRow:
    """Model calls, and what was spared.

    Attributes:
        model_calls: Calls that a server answered.
        cache_hits: Calls answered from the shared cache.
        waits: Of these, calls that waited for another's answer.
        tokens: In and out, of the calls that a server answered.
        saved_calls: Calls that no server had to answer, the hits among them.
        saved_tokens: Tokens that those would have taken.
    """

    model_calls: int = 0
    cache_hits: int = 0
    waits: int = 0
    tokens: int = 0
    saved_calls: int = 0
    saved_tokens: int = 0


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One node group.

    Attributes:
        key: ``00_02``.
        name: The short names of its nodes, ``autogen+speckit``.
        phase: Pending, Held by a queue, Running, Succeeded or Failed.
        reason: Why it ended, or what it waits for; may be empty.
        message: More about the reason; may be empty.
        attempt: 1 for the first.
        trials: Trials so far.
        baseline: Validation score of the declared program, in [0, 1].
        best: Best validation score so far.
        held_out: Score on the held-out split, once the group is done.
        peak: Highest memory in bytes.
        limit: Memory limit in bytes.
        calls: Its model calls, in all attempts.
    """

    key: str
    name: str
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    attempt: int = 0
    trials: int | None = None
    baseline: float | None = None
    best: float | None = None
    held_out: float | None = None
    peak: int | None = None
    limit: int | None = None
    calls: CallRow = CallRow()

    @property
    def done(self) -> bool:
        """Whether no more is to come from it."""
        return self.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """One archive file: path on the volume, size in bytes, the group size it holds."""

    path: str
    size: int
    group_size: int


@dataclass(frozen=True, slots=True)
class AttributionRow:
    """What one node's training was worth: Shapley value and its interval, in score points."""

    node: str
    value: float
    low: float
    high: float

    @property
    def evidence(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class BestRow:
    """The program chosen by validation score, with held-out scores of it and of the base."""

    key: str
    name: str
    score: float | None
    held_out: float | None
    baseline_held_out: float | None


@dataclass(frozen=True, slots=True)
class RunView:
    """One look at a session.

    Attributes:
        session: Its name.
        run: The run's number; 0 before the first.
        session_id: The run's id; empty before the first.
        phase: Pending, Preparing, Training, Archiving, Complete, Failed or Suspended.
        message: What the session's condition says.
        step: What the running stage is at, such as ``44 candidates 3/4``; may be empty.
        groups: In cascade order by size.
        calls: Model calls of the whole run.
        prepare_calls: Those of prepare.
        elapsed: Seconds since the run began.
        percent: Share of the run done, 0 to 100.
        remaining: Estimated seconds left.
        warm_started_from: The archive it began from; empty when it began cold.
    """

    session: str
    run: int = 0
    session_id: str = ""
    phase: str = "Pending"
    message: str = ""
    step: str = ""
    groups: tuple[GroupRow, ...] = ()
    calls: CallRow = CallRow()
    prepare_calls: CallRow = CallRow()
    elapsed: float | None = None
    percent: float | None = None
    remaining: float | None = None
    warm_started_from: str = ""
    best: BestRow | None = None
    attribution: tuple[AttributionRow, ...] = ()
    archives: tuple[ArchiveRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def finished_groups(self) -> int:
        """How many groups have ended, well or not."""
        return sum(group.done for group in self.groups)
