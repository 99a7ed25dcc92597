"""Archives, warm start, publishing, and the run's Redis."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from cascade_operator.api.base import ApiModel, ClaimName, Duration
from cascade_operator.api.models_spec import SecretKeyRef
from cascade_operator.api.scalars import ArchiveName, RedisUrl, SubPath


class Compression(StrEnum):
    """How an archive is packed."""

    ZSTD = "Zstd"
    GZIP = "Gzip"


class WarmStartPolicy(StrEnum):
    """Which earlier run a run starts from."""

    LATEST = "Latest"
    BEST = "Best"
    NONE = "None"


class ArchiveClaim(ApiModel):
    """The volume that archives are written to."""

    claim_name: ClaimName = Field(
        "cascade-archives", description="PersistentVolumeClaim that receives the archives."
    )
    sub_path: SubPath = Field("", description="Folder on the claim to use as its root.")


class ArchiveSpec(ApiModel):
    """What is kept of a run."""

    persistent_volume_claim: ArchiveClaim = Field(
        default_factory=ArchiveClaim, description="Where archives are written."
    )
    interval: Duration = Field("6h", description="Time between progressive archives.")
    retain: int = Field(10, ge=1, le=1000, description="Runs whose archives are kept.")
    compression: Compression = Field(
        Compression.ZSTD, description="Zstd (quick, small) or Gzip (read by anything)."
    )


class WarmStartSpec(ApiModel):
    """What a run takes over from an earlier one."""

    policy: WarmStartPolicy = Field(
        WarmStartPolicy.LATEST, description="Start from the Latest run, the Best one, or None."
    )
    archive: ArchiveName = Field(
        "", description="The sessionId of the run to start from; wins over the policy."
    )


class PublishSpec(ApiModel):
    """Where the best program goes."""

    config_map: ClaimName | None = Field(
        None, description="ConfigMap that receives the best program as JSON."
    )
    min_improvement: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Held-out improvement over the baseline below which nothing is published.",
    )


class RedisSpec(ApiModel):
    """The run's Redis."""

    url: RedisUrl = Field(
        "",
        description="redis://, rediss:// or unix:// address, without a password. "
        "Empty: the operator's default.",
    )
    password_secret_ref: SecretKeyRef = Field(
        default_factory=lambda: SecretKeyRef(name="cascade-redis", key="password"),
        description="Secret with the password, mounted by the worker from its own namespace.",
    )
