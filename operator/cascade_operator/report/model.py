"""What a report shows, as plain values: everything in it is read, checked and bounded already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cascade_operator.api.records import CallFigures
from cascade_operator.api.status import ProgressStatus


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over records and its 95 % bootstrap interval; no interval without records."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def evidence(self) -> bool:
        """Whether a difference's interval excludes 0."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node of the cascade.

    Attributes:
        letter: ``A`` for the first one: how pictures name it.
        name: Its name.
        short: The name without what all nodes' names share.
    """

    letter: str
    name: str
    short: str


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The best whole-split score after a trial; trials count from 0, the declared program."""

    trial: int
    best: float


@dataclass(frozen=True, slots=True)
class GroupView:
    """One node group: a subset of the nodes and what its search found.

    Attributes:
        key: ``00_02``.
        letters: ``AC``.
        nodes: Their names.
        ended: Why the search ended, or where it is.
        failed: Whether it ended without a result.
        message: What was said of it.
        trials: Programs tried; ``whole`` of them on the whole validation split.
        baseline: The declared program's validation score.
        best: The best program's.
        gain: The paired difference of the two.
        held_out: The best program's held-out score.
        baseline_held_out: The declared program's.
        held_out_gain: The paired difference of the two.
        previous_best: Today's score of the archived program.
        curve: Of the whole-split trials, in order.
        parse_failures: Answers that could not be read.
        calls: What its model calls cost; None while unknown.
        seconds: How long its attempts ran; None when unknown.
        choice: Node -> candidate of the best program.
        peak_memory: In bytes; 0 when unknown.
        memory_limit: In bytes; 0 when unknown.
        attempts: Started; 0 when unknown.
        parents: Letters of the subsets it started from.
    """

    key: str
    letters: str
    nodes: tuple[str, ...]
    ended: str = ""
    failed: bool = False
    message: str = ""
    trials: int = 0
    whole: int = 0
    baseline: Interval | None = None
    best: Interval | None = None
    gain: Interval | None = None
    held_out: Interval | None = None
    baseline_held_out: Interval | None = None
    held_out_gain: Interval | None = None
    previous_best: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    parse_failures: int = 0
    calls: CallFigures | None = None
    seconds: float | None = None
    choice: Mapping[str, int] = field(default_factory=dict)
    peak_memory: int = 0
    memory_limit: int = 0
    attempts: int = 0
    parents: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many nodes it has."""
        return len(self.nodes)


@dataclass(frozen=True, slots=True)
class AttributionView:
    """What training one node was worth on held-out records."""

    node: NodeView
    worth: Interval


@dataclass(frozen=True, slots=True)
class Span:
    """A stage's time within an attempt, in seconds after the attempt's start."""

    code: int
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt of a Job.

    Attributes:
        job: ``prepare``, ``archive`` or a group's key.
        label: How pictures name it: a group by its letters.
        number: The attempt.
        start: Seconds after the run's first attempt began.
        seconds: How long it ran, or was last seen to run.
        outcome: ``Done``, a reason, or empty where it left no word.
        limit: Memory limit in bytes; 0 when unknown.
        step: Seconds between two memory readings.
        memory: The highest working set within each step, in bytes.
        spans: Its stages, in order; they do not overlap.
    """

    job: str
    label: str
    number: int
    start: float
    seconds: float
    outcome: str
    limit: int = 0
    step: float = 1.0
    memory: tuple[int, ...] = ()
    spans: tuple[Span, ...] = ()

    @property
    def peak(self) -> int:
        """The highest working set, in bytes; 0 when none was read."""
        return max(self.memory, default=0)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of the trace file that was put aside, and why."""

    row: int
    record_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TraceMetric:
    """A figure that came with the traces: its mean over the records that have it."""

    node: str
    name: str
    mean: float
    records: int


@dataclass(frozen=True, slots=True)
class RecordsView:
    """What became of the records.

    Attributes:
        training: Records to propose from.
        validation: Records to select by.
        held_out: Records scored once, after selection.
        known: Whether prepare left word; the rest is empty otherwise.
        duplicates: Rows that repeated another.
        rejected: Rows put aside, in all.
        rows: The first of them.
        notes: What was imputed, left out or warned of, in all ``notes_total``.
        notes_total: How many notes there were.
        metrics: The traces' own figures.
        calls: What prepare's model calls cost.
    """

    training: int = 0
    validation: int = 0
    held_out: int = 0
    known: bool = False
    duplicates: int = 0
    rejected: int = 0
    rows: tuple[RejectedRow, ...] = ()
    notes: tuple[str, ...] = ()
    notes_total: int = 0
    metrics: tuple[TraceMetric, ...] = ()
    calls: CallFigures | None = None

    @property
    def total(self) -> int:
        """Records in use."""
        return self.training + self.validation + self.held_out


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """A figure that was estimated before the run, and what it came to.

    Attributes:
        what: The figure.
        unit: ``s`` for seconds, ``B`` for bytes, empty for a count.
        estimated: What was expected.
        at_most: What was not to be exceeded; None where nothing was said.
        actual: What it came to; None while that is unknown.
    """

    what: str
    unit: str
    estimated: float
    at_most: float | None = None
    actual: float | None = None


@dataclass(frozen=True, slots=True)
class DemonstrationView:
    """A worked example of a prompt as text: its record, and its fields line by line."""

    record_id: str
    text: str


@dataclass(frozen=True, slots=True)
class PromptView:
    """A node's prompt before and after.

    Attributes:
        node: The node.
        candidate: Index in the pool; 0 is the declared program.
        source: Where the candidate comes from.
        before: The declared instructions.
        after: The best program's.
        demonstrations_before: The declared ones.
        demonstrations_after: The best program's.
    """

    node: NodeView
    candidate: int
    source: str
    before: str
    after: str
    demonstrations_before: tuple[DemonstrationView, ...]
    demonstrations_after: tuple[DemonstrationView, ...]


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """An archive file of the run."""

    name: str
    group_size: int
    bytes: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ReportData:
    """A run, as its report shows it.

    Attributes:
        namespace: Of the session.
        session: Its name.
        session_id: Names the run.
        number: The run's number; 0 when unknown.
        phase: ``Complete``, ``Failed``, ``Training`` ...
        message: Why it is there.
        started: When it began.
        seconds: How long it took, or has taken; None when unknown.
        nodes: Of the cascade, in order.
        groups: Small ones first, then in cascade order.
        best: The best group by validation score.
        attribution: By node; empty where not every subset was scored.
        records: What became of the records.
        attempts: All Jobs' attempts, earliest first.
        estimate: What the run was estimated to take.
        estimated_calls: Group key -> model calls estimated for it.
        prompts: Of the best group's nodes.
        settings: What was asked, for a reader: term and value.
        archives: The run's files.
        so_far: What status counts of a run that goes on; None without one.
        warm_started_from: Session id; empty for a cold start.
        notes: What limits this report: parts that are missing or could not be read.
        threshold_percent: Of a memory limit, where a Job leaves.
        memory_budget: For the sum of limits, in bytes; 0 for none.
    """

    namespace: str
    session: str
    session_id: str
    number: int = 0
    phase: str = ""
    message: str = ""
    started: datetime | None = None
    seconds: float | None = None
    nodes: tuple[NodeView, ...] = ()
    groups: tuple[GroupView, ...] = ()
    best: GroupView | None = None
    attribution: tuple[AttributionView, ...] = ()
    records: RecordsView = field(default_factory=RecordsView)
    attempts: tuple[AttemptView, ...] = ()
    estimate: tuple[EstimateRow, ...] = ()
    estimated_calls: Mapping[str, float] = field(default_factory=dict)
    prompts: tuple[PromptView, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    archives: tuple[ArchiveView, ...] = ()
    so_far: ProgressStatus | None = None
    warm_started_from: str = ""
    notes: tuple[str, ...] = ()
    threshold_percent: float = 80.0
    memory_budget: int = 0

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.phase in ("Complete", "Failed")
