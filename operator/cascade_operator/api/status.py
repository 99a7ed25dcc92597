"""`status`: what `kubectl`, Argo CD and Flux see."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from cascade_operator.api.base import RecordModel
from cascade_operator.api.calls import CallFigures
from cascade_operator.api.scalars import Count, Line, Name, Paragraph, Score, Slug, Time


class Phase(StrEnum):
    """Where a session is.

    It is pending from its creation, by the CRD's default, until its first run starts.
    """

    PENDING = "Pending"
    PREPARING = "Preparing"
    TRAINING = "Training"
    ARCHIVING = "Archiving"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class GroupPhase(StrEnum):
    """Where a group, or a stage, is."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class StopReason(StrEnum):
    """Why a search ended with a result."""

    CONVERGED = "Converged"
    EXHAUSTED = "Exhausted"
    MAX_TRIALS = "MaxTrials"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    CALL_BUDGET = "CallBudget"
    TOKEN_BUDGET = "TokenBudget"  # noqa: S105 - no password


class ConditionType(StrEnum):
    """The conditions; Reconciling and Stalled are present only while True."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    MEMORY_LIMITED = "MemoryLimited"


class Condition(RecordModel):
    """As in metav1, with an observedGeneration of its own."""

    type: ConditionType = Field(description="Which condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] = Field(
        description="Why, in one word."
    )
    message: Paragraph = Field("", description="Why, for a reader.")
    last_transition_time: Time = Field(description="When its status last changed.")
    observed_generation: Count = Field(0, description="The generation it speaks of.")


class StageStatus(RecordModel):
    """The prepare or archive stage of a run."""

    phase: GroupPhase = Field(GroupPhase.PENDING, description="Where it is.")
    attempt: int = Field(0, ge=0, le=10000, description="Attempts started.")
    failures: int = Field(0, ge=0, le=10000, description="Attempts that count as failed.")
    job_name: Name = Field("", description="The attempt's Job.")
    start_time: Time | None = Field(None, description="When the attempt started.")
    retry_time: Time | None = Field(None, description="When the next attempt may start.")
    memory_limit: Annotated[str, Field(max_length=32)] = Field("", description="Its limit.")
    peak_memory: Annotated[str, Field(max_length=32)] = Field("", description="Its peak.")
    reason: Annotated[str, Field(max_length=128)] = Field("", description="Why it is there.")
    message: Paragraph = Field("", description="For a reader.")
    kind: Annotated[str, Field(max_length=16)] = Field(
        "", description="For an archive: progressive or final."
    )
    calls: CallFigures | None = Field(None, description="Its model calls, in all attempts.")


class SpentStatus(RecordModel):
    """What a run has spent of its budget: the mark its counters start from when Redis is lost."""

    calls: Count = Field(0, description="Calls that count.")
    tokens: Count = Field(0, description="Tokens in and out.")
    cost_micros: Count = Field(0, description="Money, in millionths of the prices' unit.")

    def at_least(self, other: SpentStatus) -> SpentStatus:
        """Returns the higher figure of each kind: what was once spent stays spent."""
        return SpentStatus(
            calls=max(self.calls, other.calls),
            tokens=max(self.tokens, other.tokens),
            cost_micros=max(self.cost_micros, other.cost_micros),
        )


class ProgramStatus(RecordModel):
    """The best program, as the last archive Job left it in Redis."""

    group: Annotated[str, Field(max_length=32)] = Field(description="The group it is of.")
    sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]*$")] = Field(
        description="Its digest."
    )
    bytes: Count = Field(description="Its size.")


class RunStatus(RecordModel):
    """The current or last run."""

    number: int = Field(ge=1, le=2**31 - 1, description="Counts up.")
    session_id: Annotated[str, Field(max_length=32)] = Field(description="Names its archives.")
    spec_hash: Annotated[str, Field(max_length=64)] = Field(description="What it was started for.")
    trigger: Annotated[str, Field(max_length=32)] = Field(
        "", description="SpecChanged, Retrain or Schedule."
    )
    start_time: Time = Field(description="When it started.")
    completion_time: Time | None = Field(None, description="When it ended.")
    suspend_time: Time | None = Field(None, description="Since when it is suspended.")
    paused_seconds: Count = Field(
        0, description="How long earlier suspensions took; they do not count as duration."
    )
    held_time: Time | None = Field(
        None, description="Since when a queue holds all of its Jobs; it counts like a suspension."
    )
    warm_started_from: Name = Field("", description="The run it started from.")
    prepare: StageStatus = Field(default_factory=StageStatus, description="The prepare stage.")
    archive: StageStatus = Field(default_factory=StageStatus, description="The archive stage.")
    last_archive_time: Time | None = Field(None, description="When an archive was last written.")
    archived_groups: list[Annotated[str, Field(max_length=32)]] = Field(
        default_factory=list, max_length=63, description="Groups that stand in an archive."
    )
    spent: SpentStatus | None = Field(None, description="What it has spent of its budget.")
    records: Count = Field(0, description="Records in use.")
    rejected: Count = Field(0, description="Records put aside.")
    program: ProgramStatus | None = Field(None, description="Its best program.")


class ProgressStatus(RecordModel):
    """How far the run is."""

    percent: int = Field(0, ge=0, le=100, description="Of the run's work.")
    estimated_remaining_seconds: Count | None = Field(None, description="Time left, roughly.")
    model_calls: Count = Field(0, description="Calls made.")
    tokens: Count = Field(0, description="Tokens used.")
    cache_hits: Count = Field(0, description="Calls answered from the shared cache.")
    waits: Count = Field(0, description="Of these, calls that waited for another's answer.")
    saved_calls: Count = Field(0, description="Calls that no server had to answer.")
    saved_tokens: Count = Field(0, description="Tokens that those would have taken.")
    last_update_time: Time | None = Field(None, description="When these figures last changed.")


class GroupStatus(RecordModel):
    """One node group."""

    name: Annotated[str, Field(max_length=32)] = Field(description="Its key: 00_02.")
    nodes: list[Name] = Field(max_length=6, description="Its nodes, in cascade order.")
    phase: GroupPhase = Field(GroupPhase.PENDING, description="Where it is.")
    attempt: int = Field(0, ge=0, le=10000, description="Attempts started.")
    failures: int = Field(0, ge=0, le=10000, description="Attempts that count as failed.")
    job_name: Name = Field("", description="The attempt's Job.")
    start_time: Time | None = Field(None, description="When the attempt started.")
    retry_time: Time | None = Field(None, description="When the next attempt may start.")
    trials: Count = Field(0, description="Programs tried.")
    baseline: Score | None = Field(None, description="Validation score of the declared program.")
    score: Score | None = Field(None, description="Best validation score.")
    held_out: Score | None = Field(None, description="The best program's held-out score.")
    baseline_held_out: Score | None = Field(None, description="The declared program's.")
    previous_best: Score | None = Field(
        None, description="Today's score of the archived best program."
    )
    converged: bool = Field(False, description="Whether the search converged.")
    reason: Annotated[str, Field(max_length=128)] = Field("", description="Why it is there.")
    message: Line = Field("", description="For a reader.")
    memory_limit: Annotated[str, Field(max_length=32)] = Field("", description="Its limit.")
    peak_memory: Annotated[str, Field(max_length=32)] = Field("", description="Its peak.")
    lattice_parents: list[Annotated[str, Field(max_length=32)]] = Field(
        default_factory=list, max_length=6, description="The subsets it started from."
    )
    calls: CallFigures | None = Field(None, description="Its model calls, in all attempts.")


class BestStatus(RecordModel):
    """The best group, by validation score."""

    group: Annotated[str, Field(max_length=32)] = Field(description="Its key.")
    score: Score = Field(description="Its validation score.")
    held_out: Score | None = Field(None, description="Its held-out score.")
    baseline_held_out: Score | None = Field(None, description="The declared program's.")
    improvement: Score | None = Field(None, description="Held-out score over the baseline's.")


class AttributionStatus(RecordModel):
    """What one node's training was worth: a Shapley value of held-out scores."""

    node: Name = Field(description="The node.")
    value: Score = Field(description="Its share of the improvement.")
    low: Score = Field(description="Lower end of the 95 % interval.")
    high: Score = Field(description="Upper end of the 95 % interval.")


class ArchiveStatus(RecordModel):
    """One archive."""

    group_size: int = Field(
        ge=0, le=6, description="Size of the groups in it; 0 where none has begun yet."
    )
    path: Paragraph = Field(description="Its path on the claim.")
    sha256: Annotated[str, Field(max_length=64)] = Field(description="Its digest.")
    bytes: Count = Field(description="Its size.")


class PublishedStatus(RecordModel):
    """What came of publishing the best program.

    The decision is that on the last complete run; the program may be an earlier one's.
    """

    reason: Annotated[str, Field(max_length=32)] = Field(
        "", description="Published, PublishSkipped, PublishConflict or PublishUnavailable."
    )
    message: Paragraph = Field("", description="Why, for a reader.")
    decided_run: Count = Field(0, description="The run that this was decided for.")
    config_map: Name = Field("", description="The ConfigMap.")
    run: Count = Field(0, description="The run whose program was last published to it.")
    group: Annotated[str, Field(max_length=32)] = Field("", description="That program's group.")
    score: Score | None = Field(None, description="Its validation score.")
    sha256: Annotated[str, Field(max_length=64)] = Field("", description="Its digest.")
    time: Time | None = Field(None, description="When it was published.")


class HistoryEntry(RecordModel):
    """One finished run."""

    number: int = Field(ge=1, le=2**31 - 1, description="The run.")
    session_id: Annotated[str, Field(max_length=32)] = Field(description="Names its archives.")
    trigger: Annotated[str, Field(max_length=32)] = Field("", description="What started it.")
    phase: Phase = Field(description="How it ended.")
    reason: Slug = Field("", description="Why it ended so, in one word.")
    start_time: Time | None = Field(None, description="When it started.")
    completion_time: Time | None = Field(None, description="When it ended.")
    best: BestStatus | None = Field(None, description="Its best group.")


class TrainingSessionStatus(RecordModel):
    """All of it; bounded whatever the run's length."""

    observed_generation: int = Field(
        -1, ge=-1, le=2**53 - 1, description="The generation this speaks of."
    )
    phase: Phase | None = Field(None, description="Where the session is.")
    conditions: list[Condition] = Field(
        default_factory=list, max_length=16, description="As in metav1."
    )
    run: RunStatus | None = Field(None, description="The current or last run.")
    progress: ProgressStatus | None = Field(None, description="How far the run is.")
    groups: list[GroupStatus] = Field(
        default_factory=list, max_length=63, description="The groups, in cascade order."
    )
    groups_total: int = Field(0, ge=0, le=63, description="Groups in all.")
    groups_succeeded: int = Field(0, ge=0, le=63, description="Groups that finished.")
    groups_failed: int = Field(0, ge=0, le=63, description="Groups that failed.")
    groups_summary: Slug = Field("", description="Finished groups of all, for a reader: 7/15.")
    best: BestStatus | None = Field(None, description="The best group.")
    attribution: list[AttributionStatus] = Field(
        default_factory=list, max_length=6, description="What each node's training was worth."
    )
    archives: list[ArchiveStatus] = Field(
        default_factory=list, max_length=6, description="The run's archives."
    )
    published: PublishedStatus | None = Field(
        None, description="What came of publishing the best program."
    )
    history: list[HistoryEntry] = Field(
        default_factory=list, max_length=100, description="Finished runs, the last one first."
    )
    last_schedule_time: Time | None = Field(None, description="When the schedule last fired.")
    next_schedule_time: Time | None = Field(None, description="When it fires next.")
    last_retrain_request: Name = Field("", description="The retrain annotation last acted on.")


def format_score(value: float) -> str:
    """Returns a score as status holds it: four decimals, and never ``-0.0000``."""
    return f"{round(value, 4) + 0.0:.4f}"
