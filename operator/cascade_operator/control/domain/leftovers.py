"""Children that are no longer wanted: at work for nothing, or older than a run's time to live."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cascade_operator.api.status import RunStatus, TrainingSessionStatus
from cascade_operator.control.domain.draft import Situation
from cascade_operator.control.domain.model import DeleteConfigMap, DeleteJob, JobState, JobView
from cascade_operator.control.domain.policies.retention import expiry
from cascade_operator.control.manifests.labels import STAGE, STAGE_ARCHIVE, run_of
from cascade_operator.control.manifests.naming import run_of_config_map

Deletion = DeleteJob | DeleteConfigMap


def leftovers(situation: Situation) -> Iterator[Deletion]:
    """Says what to delete, by the observed status alone.

    Jobs at work for a run that is over, was replaced, or is suspended (its archive Job is left to
    finish); and what a run left, once its time to live is over.
    """
    run = situation.observed.session.status.run
    if run is None:
        return
    for name, job in sorted(situation.observed.jobs.items()):
        if job.state in (JobState.PENDING, JobState.HELD, JobState.RUNNING):
            if not _wanted(job, run):
                yield DeleteJob(name)
        elif job.state.ended and _has_expired(run_of(job.labels), situation):
            yield DeleteJob(name)
    for name in sorted(situation.observed.config_maps):
        if _has_expired(run_of_config_map(name), situation):
            yield DeleteConfigMap(name)


def next_expiry(status: TrainingSessionStatus, situation: Situation) -> datetime | None:
    """When the next of the children that are there outlives its run; None where none will.

    Args:
        status: As it will be written.
        situation: Spec and children.
    """
    observed = situation.observed
    runs = {run_of(job.labels) for job in observed.jobs.values()}
    runs |= {run_of_config_map(name) for name in observed.config_maps}
    times = [_expiry(run, status, situation) for run in runs if run is not None]
    # What has expired and is still there is being deleted; it must not hide what expires next.
    return min((time for time in times if time is not None and time > situation.now), default=None)


def _wanted(job: JobView, run: RunStatus) -> bool:
    if run.completion_time is not None or run_of(job.labels) != run.number:
        return False
    return run.suspend_time is None or job.labels.get(STAGE) == STAGE_ARCHIVE


def _has_expired(run: int | None, situation: Situation) -> bool:
    if run is None:
        return False
    time = _expiry(run, situation.observed.session.status, situation)
    return time is not None and situation.now >= time


def _expiry(run: int, status: TrainingSessionStatus, situation: Situation) -> datetime | None:
    current = status.run
    if current is None:
        return None
    ends = {h.number: h.completion_time for h in status.history if h.completion_time is not None}
    if current.completion_time is not None:
        ends[current.number] = current.completion_time
    ttl = situation.spec.ttl_seconds_after_finished
    return expiry(run, ends, ttl, current=current.number)
