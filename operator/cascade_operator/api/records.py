"""What Jobs and operator say to each other: live progress and final figures."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from cascade_operator.api.base import RecordModel
from cascade_operator.api.calls import CallFigures, Count
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.scalars import Name, Paragraph, Slug
from cascade_operator.api.status import (
    ArchiveStatus,
    AttributionStatus,
    BestStatus,
    ProgramStatus,
    SpentStatus,
    StopReason,
)

__all__ = [
    "ArchiveResult",
    "CallFigures",
    "Failure",
    "GroupResult",
    "PrepareResult",
    "Progress",
    "SplitCounts",
    "TerminationMessage",
    "decode_message",
    "encode_message",
]

MAX_MESSAGE_BYTES: Final = 4000
Key = Annotated[str, Field(max_length=32)]
Short = Paragraph
Unit = Annotated[float, Field(ge=-1, le=1)]


class Progress(RecordModel):
    """A Job's live figures."""

    name: Key = Field(description="`prepare`, `archive`, or a group's key.")
    stage: int = Field(ge=0, le=99, description="Code of the stage it is in.")
    done: Count = Field(0, description="Steps or trials done.")
    total: Count = Field(0, description="Of how many; 0 when unknown.")
    note: Short = Field("", description="For a reader.")
    baseline: Unit | None = Field(None, description="The declared program's validation score.")
    score: Unit | None = Field(None, description="Best validation score so far.")
    memory: Count = Field(0, description="Working set, in bytes.")
    memory_limit: Count = Field(0, description="Limit, in bytes.")
    calls: CallFigures = Field(default_factory=CallFigures, description="Model calls.")
    spent: SpentStatus | None = Field(None, description="The run's counters, of all its Jobs.")
    updated: float = Field(0.0, ge=0, description="Unix time of this record, in seconds.")


class SplitCounts(RecordModel):
    """Records by split."""

    training: Count = Field(0, description="For demonstrations and proposals.")
    validation: Count = Field(0, description="For all selection.")
    held_out: Count = Field(0, description="Scored once, after selection.")


class GroupResult(RecordModel):
    """A group's final figures."""

    kind: Literal["group"] = "group"
    group: Key = Field(description="Its key.")
    trials: Count = Field(0, description="Programs tried.")
    baseline: Unit = Field(0.0, description="The declared program's validation score.")
    score: Unit = Field(0.0, description="Best validation score.")
    held_out: Unit | None = Field(None, description="The best program's held-out score.")
    baseline_held_out: Unit | None = Field(None, description="The declared program's.")
    previous_best: Unit | None = Field(None, description="The archived program's score today.")
    converged: bool = Field(False, description="Whether the search converged.")
    reason: StopReason = Field(StopReason.MAX_TRIALS, description="Why it stopped.")
    peak_memory: Count = Field(0, description="Highest working set, in bytes.")
    calls: CallFigures = Field(default_factory=CallFigures, description="Model calls.")
    lattice_parents: list[Key] = Field(
        default_factory=list, max_length=6, description="Subsets it started from."
    )
    choice: dict[Annotated[str, Field(max_length=63)], Annotated[int, Field(ge=0, le=1000)]] = (
        Field(default_factory=dict, max_length=6, description="Node to candidate.")
    )


class PrepareResult(RecordModel):
    """What prepare made."""

    kind: Literal["prepare"] = "prepare"
    records: Count = Field(0, description="Records in use.")
    rejected: Count = Field(0, description="Rows put aside.")
    duplicates: Count = Field(0, description="Records that repeated another.")
    split: SplitCounts = Field(default_factory=SplitCounts, description="By split.")
    candidates: dict[Annotated[str, Field(max_length=63)], Count] = Field(
        default_factory=dict, max_length=6, description="Candidates by node."
    )
    warm_started_from: Name = Field("", description="The run it started from.")
    imputed: list[Short] = Field(
        default_factory=list, max_length=32, description="What was filled in, for a reader."
    )
    previous_best: Unit | None = Field(
        None, description="Today's validation score of the archived best program."
    )
    restored_groups: list[Key] = Field(
        default_factory=list,
        max_length=63,
        description="Groups taken back from this run's archive.",
    )
    peak_memory: Count = Field(0, description="Highest working set, in bytes.")
    calls: CallFigures = Field(default_factory=CallFigures, description="Model calls.")


class ArchiveResult(RecordModel):
    """What an archive Job wrote."""

    kind: Literal["archive"] = "archive"
    final: bool = Field(False, description="Whether it was the run's last.")
    archives: list[ArchiveStatus] = Field(
        default_factory=list, max_length=6, description="The files."
    )
    groups: list[Key] = Field(
        default_factory=list, max_length=63, description="Keys of the groups in them."
    )
    best: BestStatus | None = Field(None, description="The best group.")
    attribution: list[AttributionStatus] = Field(
        default_factory=list, max_length=6, description="What each node's training was worth."
    )
    figures: list[GroupResult] = Field(
        default_factory=list, max_length=63, description="Figures that were pending."
    )
    program: ProgramStatus | None = Field(None, description="The best program, if it was the last.")
    peak_memory: Count = Field(0, description="Highest working set, in bytes.")


class Failure(RecordModel):
    """Why a Job failed."""

    kind: Literal["failure"] = "failure"
    exit_code: int = Field(ge=0, le=255, description="The exit code.")
    reason: Slug = Field("Error", description="In one word.")
    message: Paragraph = Field("", description="For a reader.")
    mend: Paragraph = Field("", description="What to do.")
    peak_memory: Count = Field(0, description="Highest working set, in bytes.")


TerminationMessage = GroupResult | PrepareResult | ArchiveResult | Failure
_MESSAGE: Final[TypeAdapter[TerminationMessage]] = TypeAdapter(
    Annotated[TerminationMessage, Field(discriminator="kind")]
)
# In this order: what a reader misses least comes first.
_SHRINKING: Final = (
    *("imputed", "figures", "attribution", "mend", "message"),
    *("latticeParents", "candidates", "choice", "restoredGroups", "groups", "archives"),
)


def encode_message(message: TerminationMessage) -> str:
    """Returns the message as JSON of at most 4,000 bytes: long lists and texts are cut."""
    value = _without_surrogates(message.dump())
    text = canonical_json(value)
    for name in _SHRINKING:
        while len(text.encode()) > MAX_MESSAGE_BYTES and value.get(name):
            value[name] = _first_half(value[name])
            text = canonical_json(value)
    return text


def decode_message(text: str | bytes) -> TerminationMessage | None:
    """Reads a message as hostile: None where it is too long, not UTF-8 or not of this form."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if not raw or len(raw) > MAX_MESSAGE_BYTES:
        return None
    try:
        return _MESSAGE.validate_json(raw)
    except (ValidationError, ValueError, RecursionError):
        return None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def _first_half(value: Any) -> Any:
    half = len(value) // 2
    if isinstance(value, dict):
        return dict(list(value.items())[:half])
    return value[:half]
