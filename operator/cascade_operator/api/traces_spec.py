"""`spec.traces`: where the human-validated traces come from, and how they are divided."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from cascade_operator.api.base import ApiModel, ClaimName
from cascade_operator.api.scalars import LocalFile, RelativePath


class TraceImport(StrEnum):
    """Built-in sources; prepare makes the traces."""

    BFCL = "bfcl"


class TracesClaim(ApiModel):
    """A trace file on a volume."""

    claim_name: ClaimName = Field(description="PersistentVolumeClaim that holds the traces.")
    path: RelativePath = Field(
        "85_latest.parquet",
        description="Path of the trace file on the claim: parquet, or JSON lines (.jsonl).",
    )


class TracesSpec(ApiModel):
    """The traces. Exactly one of import, persistentVolumeClaim and file."""

    import_: TraceImport | None = Field(
        None, alias="import", description="A built-in source that prepare makes traces from."
    )
    persistent_volume_claim: TracesClaim | None = Field(
        None, description="A trace file on a volume."
    )
    file: LocalFile | None = Field(
        None,
        description="A trace file beside the session; on one machine only, not in a cluster.",
    )
    validation_fraction: float = Field(
        0.4, gt=0, lt=1, description="Share of the records that selects programs."
    )
    held_out_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the records scored once, after selection."
    )
    max_records: int | None = Field(
        None,
        ge=3,
        le=10000000,
        description="Records to use, at most; the first ones, or a draw for an import.",
    )
    max_prompt_chars: int | None = Field(
        None,
        ge=500,
        le=1000000,
        description="For an import: use only requests whose prompt has at most so many characters.",
    )
    max_invalid_percent: float = Field(
        5.0, ge=0, le=100, description="Percentage of bad rows above which prepare fails."
    )
