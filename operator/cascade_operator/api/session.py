"""The TrainingSession: `spec` whole, and the object around it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from cascade_operator.api.archive_spec import ArchiveSpec, PublishSpec, RedisSpec, WarmStartSpec
from cascade_operator.api.base import API_VERSION, KIND, ApiModel
from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.api.models_spec import ModelsSpec
from cascade_operator.api.resources_spec import JobTemplateSpec, MemorySpec, ResourcesSpec
from cascade_operator.api.scalars import CronText, Image, QueueName, Subdomain, TimeZone
from cascade_operator.api.search_spec import (
    BudgetSpec,
    ConvergenceSpec,
    GroupsSpec,
    ObjectiveSpec,
    OptimizerSpec,
)
from cascade_operator.api.status import TrainingSessionStatus
from cascade_operator.api.traces_spec import TracesSpec


class ConcurrencyPolicy(StrEnum):
    """What happens when the schedule fires during a run."""

    FORBID = "Forbid"
    REPLACE = "Replace"
    QUEUE = "Queue"


class TrainingSessionSpec(ApiModel):
    """What to train, on what, with what, and within which bounds."""

    cascade: CascadeSpec = Field(
        default_factory=CascadeSpec, description="The cascade: tiers of nodes."
    )
    traces: TracesSpec = Field(description="The human-validated traces.")
    models: ModelsSpec = Field(
        default_factory=ModelsSpec, description="Chat, embedding and reduction."
    )
    groups: GroupsSpec = Field(
        default_factory=GroupsSpec, description="Which node groups are trained."
    )
    optimizer: OptimizerSpec = Field(
        default_factory=OptimizerSpec, description="The search over programs."
    )
    objective: ObjectiveSpec = Field(
        default_factory=ObjectiveSpec, description="What is maximised."
    )
    convergence: ConvergenceSpec = Field(
        default_factory=ConvergenceSpec, description="When a search has converged."
    )
    budget: BudgetSpec = Field(default_factory=BudgetSpec, description="What a run may spend.")
    resources: ResourcesSpec = Field(
        default_factory=ResourcesSpec, description="Requests and limits by kind of Job."
    )
    memory: MemorySpec = Field(
        default_factory=MemorySpec, description="How memory is kept within bounds."
    )
    parallelism: int = Field(15, ge=1, le=63, description="Jobs at once, at most.")
    archive: ArchiveSpec = Field(default_factory=ArchiveSpec, description="What is kept of a run.")
    warm_start: WarmStartSpec = Field(
        default_factory=WarmStartSpec, description="What a run takes over."
    )
    publish: PublishSpec = Field(
        default_factory=PublishSpec, description="Where the best program goes."
    )
    schedule: CronText = Field("", description="Retrain by this cron expression. Empty: never.")
    time_zone: TimeZone = Field("Etc/UTC", description="Time zone of the schedule (IANA name).")
    concurrency_policy: ConcurrencyPolicy = Field(
        ConcurrencyPolicy.FORBID, description="What happens when the schedule fires during a run."
    )
    redis: RedisSpec = Field(default_factory=RedisSpec, description="The run's Redis.")
    suspend: bool = Field(False, description="Stop the run's Jobs; they save and resume later.")
    backoff_limit: int = Field(
        3, ge=0, le=100, description="Failed attempts of a stage or group; memory does not count."
    )
    max_failed_groups: int = Field(
        0, ge=0, le=63, description="Groups that may fail without failing the run."
    )
    start_deadline_seconds: int = Field(
        3600, ge=1, le=604800, description="Time that a Job may be blocked before Stalled."
    )
    run_history_limit: int = Field(10, ge=0, le=100, description="Runs kept in status.history.")
    queue_name: QueueName = Field("", description="Kueue's local queue for the Jobs.")
    image: Image = Field("", description="The workers' image. Empty: the operator's default.")
    ttl_seconds_after_finished: int = Field(
        86400,
        ge=0,
        le=31536000,
        description="When a finished run's Jobs and ConfigMap are deleted, in seconds.",
    )
    job_template: JobTemplateSpec = Field(
        default_factory=JobTemplateSpec, description="Overrides merged into each Job."
    )


class ObjectMeta(ApiModel):
    """The metadata that this project reads; the rest passes through."""

    model_config = ConfigDict(extra="ignore")

    name: Subdomain = Field(description="The object's name.")
    namespace: str = Field("default", max_length=63, description="Its namespace.")
    uid: str = Field("", max_length=128, description="Set by the API server.")
    generation: int = Field(1, ge=0, description="Set by the API server.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")


class TrainingSession(ApiModel):
    """One object of this kind."""

    api_version: Literal["cascade-operator.dev/v1alpha1"] = Field(
        API_VERSION, description="The API's group and version."
    )
    kind: Literal["TrainingSession"] = Field(KIND, description="The kind.")
    metadata: ObjectMeta = Field(description="Name, namespace, annotations.")
    spec: TrainingSessionSpec = Field(description="What is asked for.")
    status: TrainingSessionStatus | None = Field(None, description="What has come of it.")
