"""Requests and limits by stage, the memory policy, and the pod overrides."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from cascade_operator.api.base import ApiModel, Quantity
from cascade_operator.api.plain_json import check_plain_json
from cascade_operator.api.scalars import (
    AnnotationText,
    IntOrQuantity,
    LabelText,
    MetadataKey,
)


class ResourceAmounts(ApiModel):
    """Amounts of the two resources a worker uses."""

    cpu: IntOrQuantity | None = Field(None, description="Processors, such as 500m or 2.")
    memory: Quantity | None = Field(None, description="Memory, such as 1Gi.")


class Limits(ResourceAmounts):
    """Limits of a group's or an archive's Job: memory is always limited."""

    memory: Quantity = Field("1Gi", description="Memory, such as 1Gi.")


class PrepareLimits(Limits):
    """Limits of the prepare Job, which holds all vectors at once."""

    memory: Quantity = Field("2Gi", description="Memory, such as 1Gi.")


class StageResources(ApiModel):
    """Requests and limits of one kind of Job."""

    requests: ResourceAmounts = Field(
        default_factory=ResourceAmounts, description="What the scheduler reserves."
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="What the container may use, at most. A memory limit is always set.",
    )


class PrepareResources(StageResources):
    """Requests and limits of the prepare Job."""

    limits: PrepareLimits = Field(
        default_factory=PrepareLimits,
        description="What the container may use, at most. A memory limit is always set.",
    )


class ResourcesSpec(ApiModel):
    """Resources of the three kinds of Jobs."""

    prepare: PrepareResources = Field(
        default_factory=PrepareResources,
        description="The Job that reads traces and proposes candidates.",
    )
    group: StageResources = Field(
        default_factory=StageResources,
        description="Each node group's Job.",
    )
    archive: StageResources = Field(
        default_factory=StageResources,
        description="The Jobs that write archives.",
    )


class MemorySpec(ApiModel):
    """How memory is kept within bounds."""

    threshold_percent: float = Field(
        80.0, ge=10, le=100, description="Share of its limit at which a worker saves and leaves."
    )
    budget: Quantity | None = Field(
        None, description="Sum of the limits of Jobs that run at once, at most. Absent: no bound."
    )
    escalation_factor: float = Field(
        1.5, gt=1, le=10, description="What a limit is multiplied by after it was reached."
    )
    max_per_job: Quantity | None = Field(
        None, description="Limit of one Job, at most. Absent: four times the stage's limit."
    )


class PodMetadata(ApiModel):
    """Labels and annotations added to Jobs and pods."""

    labels: dict[MetadataKey, LabelText] = Field(
        default_factory=dict, max_length=64, description="Labels to add."
    )
    annotations: dict[MetadataKey, AnnotationText] = Field(
        default_factory=dict, max_length=64, description="Annotations to add."
    )


class JobTemplateSpec(ApiModel):
    """Overrides, merged into each Job's pod; containers are matched by name (`worker`)."""

    metadata: PodMetadata = Field(
        default_factory=PodMetadata, description="Labels and annotations to add."
    )
    spec: Annotated[dict[str, Any], AfterValidator(check_plain_json)] = Field(
        default_factory=dict,
        max_length=64,
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
        description="A pod spec to merge in: node selectors, tolerations, volumes, environment.",
    )
