"""How far a run is, and how long it may still take (60)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from cascade_operator.api.records import PrepareResult, Progress
from cascade_operator.api.status import GroupPhase, GroupStatus, ProgressStatus, SpentStatus
from cascade_operator.control.domain.calls import total_calls
from cascade_operator.control.domain.draft import Draft, Situation, is_terminal
from cascade_operator.control.domain.suspension import run_seconds_left

_PREPARE_SHARE: Final = 5
_ARCHIVE_SHARE: Final = 5
_GROUPS_SHARE: Final = 100 - _PREPARE_SHARE - _ARCHIVE_SHARE
_FINE_STEP, _COARSE_STEP, _COARSE_FROM = 10, 60, 600


def progress_of(draft: Draft, situation: Situation) -> ProgressStatus:
    """Sums the run up.

    The percentage never falls within a run, also when an attempt starts over, and reaches 100 only
    with completion. The estimate is absent until a trial has been seen.
    """
    before = draft.status.progress or ProgressStatus()
    if draft.run.completion_time is not None:
        return before.model_copy(update={"estimated_remaining_seconds": None})
    calls = total_calls(draft)
    return ProgressStatus(
        percent=max(before.percent, _percent(draft, situation)),
        estimated_remaining_seconds=_estimate(draft, situation),
        model_calls=max(before.model_calls, calls.model_calls),
        tokens=max(before.tokens, calls.tokens),
        cache_hits=max(before.cache_hits, calls.cache_hits),
        waits=max(before.waits, calls.waits),
        saved_calls=max(before.saved_calls, calls.saved_calls),
        saved_tokens=max(before.saved_tokens, calls.saved_tokens),
        last_update_time=before.last_update_time,
    )


def spent_of(draft: Draft, situation: Situation) -> SpentStatus | None:
    """The highest figures of the run's budget counters that were ever seen; None before any.

    The counters lie in Redis. This mark is what they start from when Redis is lost.
    """
    spent = draft.run.spent
    for record in situation.observed.progress.values():
        if record.spent is not None:
            spent = record.spent if spent is None else record.spent.at_least(spent)
    return spent


def _percent(draft: Draft, situation: Situation) -> int:
    prepare = draft.prepare.phase is GroupPhase.SUCCEEDED or draft.run.last_archive_time
    shares = [
        1.0 if is_terminal(group) else _share_done(group, situation.observed.progress)
        for group in draft.groups
    ]
    trained = sum(shares) / len(shares) if shares else 0.0
    return math.floor((_PREPARE_SHARE if prepare else 0) + _GROUPS_SHARE * trained)


def _share_done(group: GroupStatus, live: Mapping[str, Progress]) -> float:
    """Of an open group; under 1, since a search may be done before its Job is."""
    record = live.get(group.name)
    if record is None or record.total == 0:
        return 0.0
    return min(record.done / record.total, 0.99)


def _estimate(draft: Draft, situation: Situation) -> int | None:
    """Seconds left, if each program still to be tried takes what one took so far on average.

    A program that leaves a node as declared was tried by a subset, and the shared cache answers
    for it; so a group's work is the programs that change all of its nodes. With the lattice the
    group sizes follow one another, and a size takes at least its longest group. A search that
    converges early makes it shorter, a retry longer. The run's deadline bounds it. Rounded, since
    a figure to the second would claim more than is known.
    """
    if draft.prepare.phase is not GroupPhase.SUCCEEDED:
        return None
    work = _Work(draft, situation)
    mean = work.mean_seconds()
    if mean is None:
        return None
    open_groups = [group for group in draft.groups if not is_terminal(group)]
    levels: Sequence[list[GroupStatus]] = [open_groups]
    if situation.spec.optimizer.lattice:
        levels = [list(level) for _, level in groupby(open_groups, key=lambda g: len(g.nodes))]
    seconds = mean * sum(work.of_level(level) for level in levels)
    bounded = min(seconds, run_seconds_left(draft.run, situation))
    step = _COARSE_STEP if bounded >= _COARSE_FROM else _FINE_STEP
    return math.ceil(bounded / step) * step


class _Work:
    """The groups' work, in programs."""

    def __init__(self, draft: Draft, situation: Situation) -> None:
        self._groups = draft.groups
        self._situation = situation
        self._live = situation.observed.progress
        job = situation.observed.jobs.get(draft.prepare.job_name)
        message = job.message if job is not None else None
        self._candidates = message.candidates if isinstance(message, PrepareResult) else {}

    def of_level(self, level: Sequence[GroupStatus]) -> float:
        """Programs that one lane tries one after another until all groups of a level are done."""
        left = [self._whole(group) * (1.0 - self._share(group)) for group in level]
        lanes = max(1, min(len(level), self._situation.spec.parallelism))
        return max(sum(left) / lanes, max(left, default=0.0))

    def mean_seconds(self) -> float | None:
        """Seconds a program took; None before the first one."""
        done, seconds = 0.0, 0.0
        for group in self._groups:
            job = self._situation.observed.jobs.get(group.job_name)
            share = self._share(group)
            if job is None or job.started is None or not share:
                continue
            done += self._whole(group) * share
            seconds += ((job.finished or self._situation.now) - job.started).total_seconds()
        return max(seconds, 0.0) / done if done else None

    def _whole(self, group: GroupStatus) -> int:
        programs = math.prod(max(1, self._candidates.get(n, 2**16) - 1) for n in group.nodes)
        return min(self._situation.spec.optimizer.trials, programs)

    def _share(self, group: GroupStatus) -> float:
        return 1.0 if is_terminal(group) else _share_done(group, self._live)
