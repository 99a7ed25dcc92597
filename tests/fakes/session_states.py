"""Every state that a session goes through, as the objects an API server would show.

Each is reached through the planner, step by step, in the in-memory cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from cascade_operator.api.search_spec import OptimizerSpec
from cascade_operator.api.status import Phase, TrainingSessionStatus
from cascade_operator.control.domain.model import JobState, PodView
from cascade_operator.control.manifests.labels import RETRAIN_ANNOTATION
from fakes.cluster import KEY, UID, FakeCluster, Outcome, spec_of
from fakes.run_steps import PREPARE, end_all, finished, prepared, settle

NO_CLAIM = '0/3 nodes are available: persistentvolumeclaim "traces" not found.'


def raw_session(cluster: FakeCluster) -> dict[str, Any]:
    """The session as an API server holds it."""
    metadata: dict[str, Any] = {
        "name": KEY.name,
        "namespace": KEY.namespace,
        "uid": UID,
        "generation": cluster.generation,
        "resourceVersion": str(cluster.version),
        "creationTimestamp": "2026-03-01T11:59:58Z",
    }
    if cluster.annotations:
        metadata["annotations"] = dict(cluster.annotations)
    if cluster.deleting:
        metadata["deletionTimestamp"] = "2026-03-01T13:00:00Z"
    spec = cluster.spec
    return {
        "apiVersion": "cascade-operator.dev/v1alpha1",
        "kind": "TrainingSession",
        "metadata": metadata,
        "spec": {} if spec is None else spec.model_dump(mode="json", by_alias=True),
        "status": cluster.status.dump(),
    }


def unseen() -> FakeCluster:
    """Applied a moment ago: only the API server's default stands in its status."""
    return FakeCluster(status=TrainingSessionStatus(observed_generation=-1, phase=Phase.PENDING))


def edited() -> FakeCluster:
    """Complete, and edited since; the operator has not seen it yet."""
    cluster = finished()
    cluster.spec, cluster.generation = spec_of(optimizer=OptimizerSpec(seed=7)), 2
    return cluster


def preparing() -> FakeCluster:
    cluster = FakeCluster()
    settle(cluster)
    return cluster


def prepare_retried() -> FakeCluster:
    cluster = preparing()
    cluster.end(PREPARE, Outcome(69))
    settle(cluster)
    return cluster


def group_retried() -> FakeCluster:
    cluster = prepared()
    cluster.end("triage-r1-00", Outcome(69))
    settle(cluster)
    return cluster


def out_of_memory() -> FakeCluster:
    cluster = prepared()
    cluster.end("triage-r1-00", Outcome(137, "OOMKilled"))
    settle(cluster)
    return cluster


def queued() -> FakeCluster:
    cluster = prepared()
    for name in cluster.live():
        cluster.put_off(name, held=True)
    settle(cluster)
    return cluster


def queued_before_prepare() -> FakeCluster:
    cluster = preparing()
    cluster.put_off(PREPARE, held=True)
    settle(cluster)
    return cluster


def blocked() -> FakeCluster:
    cluster = preparing()
    cluster.put_off(PREPARE, PodView(PREPARE, unschedulable=NO_CLAIM))
    settle(cluster)
    return cluster


def blocked_too_long() -> FakeCluster:
    cluster = blocked()
    cluster.pass_time(3600)
    settle(cluster)
    return cluster


def mended() -> FakeCluster:
    """The claim came after the deadline, and prepare runs."""
    cluster = blocked_too_long()
    del cluster.pods[PREPARE]
    job = cluster.jobs[PREPARE]
    cluster.jobs[PREPARE] = replace(job, state=JobState.RUNNING, started=cluster.now)
    settle(cluster)
    return cluster


def archiving() -> FakeCluster:
    cluster = prepared()
    end_all(cluster)
    end_all(cluster)
    assert cluster.status.phase is Phase.ARCHIVING
    return cluster


def archive_retried() -> FakeCluster:
    cluster = archiving()
    end_all(cluster, Outcome(73))
    return cluster


def complete_with_failures() -> FakeCluster:
    cluster = prepared(max_failed_groups=1)
    cluster.end("triage-r1-00", Outcome(65))
    for _ in range(3):
        end_all(cluster)
    assert cluster.status.phase is Phase.COMPLETE
    return cluster


def _suspend(cluster: FakeCluster) -> FakeCluster:
    assert cluster.spec is not None
    cluster.spec = cluster.spec.model_copy(update={"suspend": True})
    cluster.generation += 1
    settle(cluster)
    return cluster


def suspending() -> FakeCluster:
    """Its Jobs save and leave."""
    return _suspend(prepared())


def suspended() -> FakeCluster:
    cluster = suspending()
    for name in [n for n, job in cluster.jobs.items() if job.state is JobState.DELETING]:
        cluster.remove(name)
    settle(cluster)
    end_all(cluster)
    return cluster


def suspended_from_the_start() -> FakeCluster:
    cluster = FakeCluster(spec=spec_of(suspend=True))
    settle(cluster)
    return cluster


def complete_and_suspended() -> FakeCluster:
    return _suspend(finished())


def failed_and_suspended() -> FakeCluster:
    return _suspend(groups_failed())


def invalid() -> FakeCluster:
    cluster = FakeCluster(spec=None)
    settle(cluster)
    return cluster


def invalid_after_complete() -> FakeCluster:
    cluster = finished()
    cluster.spec, cluster.generation = None, 2
    settle(cluster)
    return cluster


def prepare_failed() -> FakeCluster:
    cluster = FakeCluster(spec=spec_of(backoff_limit=0))
    settle(cluster)
    end_all(cluster, Outcome(65))
    assert cluster.status.phase is Phase.FAILED
    return cluster


def groups_failed() -> FakeCluster:
    cluster = prepared()
    for _ in range(2):
        end_all(cluster, Outcome(65))
    assert cluster.status.phase is Phase.FAILED
    return cluster


def archive_failed() -> FakeCluster:
    cluster = archiving()
    while cluster.status.phase is not Phase.FAILED:
        end_all(cluster, Outcome(73))
        cluster.pass_time(600)
        settle(cluster)
    return cluster


def retrained() -> FakeCluster:
    cluster = finished()
    cluster.annotations[RETRAIN_ANNOTATION] = "monday"
    settle(cluster)
    return cluster


def retrained_after_failure() -> FakeCluster:
    cluster = groups_failed()
    cluster.annotations[RETRAIN_ANNOTATION] = "monday"
    settle(cluster)
    return cluster


def deleted() -> FakeCluster:
    cluster = prepared()
    cluster.deleting = True
    settle(cluster)
    return cluster


def expired() -> FakeCluster:
    """Complete, and its Jobs were deleted when their time was over."""
    cluster = finished()
    cluster.pass_time(86400)
    settle(cluster)
    for name in cluster.live():
        cluster.remove(name)
    settle(cluster)
    return cluster


Kstatus = Literal["InProgress", "Current", "Failed", "Terminating"]
Argo = Literal["Progressing", "Healthy", "Degraded", "Suspended"]


@dataclass(frozen=True)
class State:
    """A state, and what each tool is to make of it.

    Attributes:
        reach: Takes a new cluster there.
        kstatus: What kstatus says, and with it Flux's ``wait``.
        argo: What Argo CD shows.
        completion: What Flux says where it is to wait for Complete.
    """

    reach: Callable[[], FakeCluster]
    kstatus: Kstatus
    argo: Argo
    completion: Kstatus = "InProgress"

    def raw(self) -> dict[str, Any]:
        """The session there, as an API server holds it."""
        return raw_session(self.reach())


STATES: dict[str, State] = {
    state.reach.__name__.replace("_", " "): state
    for state in (
        State(unseen, "InProgress", "Progressing"),
        State(edited, "InProgress", "Progressing"),
        State(preparing, "InProgress", "Progressing"),
        State(prepare_retried, "InProgress", "Progressing"),
        State(prepared, "Current", "Healthy"),
        State(group_retried, "Current", "Healthy"),
        State(out_of_memory, "Current", "Healthy"),
        State(queued, "Current", "Healthy"),
        State(queued_before_prepare, "Current", "Healthy"),
        State(blocked, "InProgress", "Progressing"),
        State(blocked_too_long, "Failed", "Degraded", "Failed"),
        State(mended, "InProgress", "Progressing"),
        State(archiving, "Current", "Healthy"),
        State(archive_retried, "InProgress", "Progressing"),
        State(finished, "Current", "Healthy", "Current"),
        State(complete_with_failures, "Current", "Healthy", "Current"),
        State(expired, "Current", "Healthy", "Current"),
        State(suspending, "Current", "Suspended"),
        State(suspended, "Current", "Suspended"),
        State(suspended_from_the_start, "Current", "Suspended"),
        State(complete_and_suspended, "Current", "Suspended", "Current"),
        State(failed_and_suspended, "Failed", "Degraded", "Failed"),
        State(invalid, "Failed", "Degraded", "Failed"),
        State(invalid_after_complete, "Failed", "Degraded", "Failed"),
        State(prepare_failed, "Failed", "Degraded", "Failed"),
        State(groups_failed, "Failed", "Degraded", "Failed"),
        State(archive_failed, "Failed", "Degraded", "Failed"),
        State(retrained, "InProgress", "Progressing"),
        State(retrained_after_failure, "InProgress", "Progressing"),
        State(deleted, "Terminating", "Progressing"),
    )
}
