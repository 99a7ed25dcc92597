"""The children that the observed status asks for: Jobs of running attempts, the run's ConfigMap."""

from __future__ import annotations

from collections.abc import Iterator

from cascade_operator.api.run import RunConfig
from cascade_operator.api.status import GroupPhase, GroupStatus, RunStatus
from cascade_operator.control.domain.draft import Situation
from cascade_operator.control.domain.leftovers import leftovers
from cascade_operator.control.domain.limits import memory_of
from cascade_operator.control.domain.model import Action, CreateConfigMap, CreateJob
from cascade_operator.control.domain.policies.archiving import ArchiveKind
from cascade_operator.control.domain.policies.duration import active_deadline_seconds
from cascade_operator.control.domain.suspension import run_seconds_left
from cascade_operator.control.manifests.config_map import build_config_map
from cascade_operator.control.manifests.job import JobRequest, build_job
from cascade_operator.control.manifests.labels import (
    STAGE_ARCHIVE,
    STAGE_GROUP,
    STAGE_PREPARE,
    Owner,
)
from cascade_operator.control.manifests.naming import config_map_name


def children(situation: Situation) -> tuple[Action, ...]:
    """Says what to create and delete so that the children are those of the observed status.

    Only the observed status counts, not the one this plan will write: an attempt whose start has
    not been observed to be written has no Job, and a Job is deleted only when its outcome, or its
    run's end, stands in status.
    """
    status = situation.observed.session.status
    run = status.run
    if run is None:
        return ()
    actions: list[Action] = [*leftovers(situation)]
    if run.completion_time is not None:
        return tuple(actions)
    requests = list(_requests(situation, run, status.groups))
    missing = [r for r in requests if r.name not in situation.observed.jobs]
    name = config_map_name(situation.observed.session.name, run.number)
    if requests and name not in situation.observed.config_maps:
        actions.append(CreateConfigMap(_config_map(situation, run, status.groups)))
    actions += [CreateJob(build_job(request, situation.spec)) for request in missing]
    return tuple(actions)


def _requests(
    situation: Situation, run: RunStatus, groups: list[GroupStatus]
) -> Iterator[JobRequest]:
    """One request for each attempt that runs according to status; only archives in a suspension."""
    if run.archive.phase is GroupPhase.RUNNING:
        yield _archive_request(situation, run, groups)
    if situation.spec.suspend or run.suspend_time is not None:
        return
    if run.prepare.phase is GroupPhase.RUNNING:
        yield _prepare_request(situation, run)
    for group in groups:
        if group.phase is GroupPhase.RUNNING:
            yield _group_request(situation, run, group)


def _prepare_request(situation: Situation, run: RunStatus) -> JobRequest:
    left, stage = run_seconds_left(run, situation), run.prepare
    return JobRequest(
        owner=owner_of(situation),
        run=run.number,
        name=stage.job_name,
        stage=STAGE_PREPARE,
        attempt=stage.attempt,
        arguments=("--attempt", str(stage.attempt), "--seconds-left", str(left), *_spent(run)),
        memory_limit=memory_of(stage, STAGE_PREPARE, situation),
        active_deadline_seconds=active_deadline_seconds(left),
    )


def _group_request(situation: Situation, run: RunStatus, group: GroupStatus) -> JobRequest:
    left = run_seconds_left(run, situation)
    arguments = ["--group", group.name, "--attempt", str(group.attempt)]
    arguments += ["--seconds-left", str(left)]
    arguments += _spent(run)
    if group.lattice_parents:
        arguments += ["--lattice-parents", ",".join(group.lattice_parents)]
    return JobRequest(
        owner=owner_of(situation),
        run=run.number,
        name=group.job_name,
        stage=STAGE_GROUP,
        attempt=group.attempt,
        arguments=tuple(arguments),
        memory_limit=memory_of(group, STAGE_GROUP, situation),
        active_deadline_seconds=active_deadline_seconds(left),
        group=group.name,
    )


def _archive_request(situation: Situation, run: RunStatus, groups: list[GroupStatus]) -> JobRequest:
    """An archive has no seconds left of its own: what was found is kept also after the deadline."""
    stage = run.archive
    kind = stage.kind or str(ArchiveKind.PROGRESSIVE)
    succeeded = [group.name for group in groups if group.phase is GroupPhase.SUCCEEDED]
    return JobRequest(
        owner=owner_of(situation),
        run=run.number,
        name=stage.job_name,
        stage=STAGE_ARCHIVE,
        attempt=stage.attempt,
        arguments=("--kind", kind, "--groups", ",".join(succeeded)),
        memory_limit=memory_of(stage, STAGE_ARCHIVE, situation),
        active_deadline_seconds=active_deadline_seconds(run_seconds_left(run, situation)),
        archive_kind=kind,
    )


def _spent(run: RunStatus) -> tuple[str, ...]:
    """The mark that a Job's budget counters start from at least; nothing before a first one."""
    spent = run.spent
    if spent is None:
        return ()
    return ("--spent", f"{spent.calls},{spent.tokens},{spent.cost_micros}")


def owner_of(situation: Situation) -> Owner:
    """The session as its children's owner."""
    session = situation.observed.session
    return Owner(session.name, session.namespace, session.uid)


def _config_map(
    situation: Situation, run: RunStatus, groups: list[GroupStatus]
) -> dict[str, object]:
    session = situation.observed.session
    config = RunConfig(
        version=1,
        namespace=session.namespace,
        name=session.name,
        uid=session.uid,
        run=run.number,
        session_id=run.session_id,
        spec_hash=run.spec_hash,
        spec=situation.spec,
        groups=[group.name for group in groups],
    )
    return build_config_map(owner_of(situation), run.number, config.to_json())
