"""From what a run left to what its report shows. Pure: no clock, no file, no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from cascade_operator.api.errors import DataError, SpecError
from cascade_operator.api.estimate import read_estimate
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.run import RunConfig
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import (
    AttributionStatus,
    Condition,
    GroupStatus,
    HistoryEntry,
    Phase,
    TrainingSessionStatus,
)
from cascade_operator.archive.members import ESTIMATE, RECORDS, TIMELINE
from cascade_operator.archive.model import RunArchive
from cascade_operator.monitoring.figures import short_names
from cascade_operator.report.calls import tokens, total_calls
from cascade_operator.report.documents import (
    read_attempts,
    read_object,
    read_records,
)
from cascade_operator.report.estimate import estimate_rows
from cascade_operator.report.groups import Searched, group_views, read_searches
from cascade_operator.report.memory import memory_over_time
from cascade_operator.report.model import (
    ArchiveView,
    AttemptView,
    AttributionView,
    GroupView,
    Interval,
    NodeView,
    PromptView,
    RecordsView,
    ReportData,
)
from cascade_operator.report.prompts import prompt_views
from cascade_operator.report.settings import settings_of
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.results import attribution_of

_LETTERS: Final = "ABCDEF"
_SESSION_ID: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class RunSources:
    """What is at hand of one run.

    Attributes:
        namespace: Of the session.
        session: Its name.
        session_id: Names the run.
        archive: Its archives, joined; None while there is none.
        status: The session's status, where it is of this run.
        history: What status remembers of the run, where it is a former one.
        spec: What the session asks, for a run without archive.
        archives: The archives' files.
        notes: What is missing, for a reader.
        now: The time of the report, for a run that goes on.
    """

    namespace: str
    session: str
    session_id: str
    archive: RunArchive | None = None
    status: TrainingSessionStatus | None = None
    history: HistoryEntry | None = None
    spec: TrainingSessionSpec | None = None
    archives: tuple[ArchiveView, ...] = ()
    notes: tuple[str, ...] = ()
    now: datetime | None = None


def build_report(sources: RunSources) -> ReportData:
    """Returns what the report shows; what is missing or damaged is named in its notes."""
    config, notes = _config(sources.archive)
    spec = config.spec if config is not None else sources.spec
    statuses = {} if sources.status is None else {g.name: g for g in sources.status.groups}
    searched = read_searches(sources.archive)
    groups = _groups(sources, config, searched, statuses)
    nodes = _nodes(config, groups)
    documents = {} if sources.archive is None else sources.archive.documents
    records = _records(sources, documents.get(RECORDS))
    attempts = read_attempts(read_object(documents.get(TIMELINE)))
    groups = tuple(_with_attempts(group, attempts) for group in groups)
    phase, message = _phase(sources, groups)
    seconds = _seconds(sources, attempts)
    best = _best(groups, searched)
    prompts, damage = _prompts(sources.archive, nodes, best)
    data = ReportData(
        namespace=sources.namespace,
        session=sources.session,
        session_id=sources.session_id,
        number=_number(sources, config),
        phase=phase,
        message=message,
        started=_started(sources),
        seconds=seconds,
        nodes=nodes,
        groups=groups,
        best=best,
        attribution=_attribution(sources.status, nodes, searched, spec),
        records=records,
        attempts=attempts,
        prompts=prompts,
        settings=() if spec is None else settings_of(spec),
        archives=sources.archives,
        so_far=None if sources.status is None else sources.status.progress,
        warm_started_from=_warm_start(sources, documents.get(RECORDS)),
        notes=(*sources.notes, *notes, *searched.problems, *damage),
        threshold_percent=spec.memory.threshold_percent if spec is not None else 80.0,
        memory_budget=_memory_budget(spec),
    )
    return _with_estimate(data, sources, documents.get(ESTIMATE))


def _config(archive: RunArchive | None) -> tuple[RunConfig | None, tuple[str, ...]]:
    if archive is None:
        return None, ()
    try:
        return RunConfig.from_json(archive.config_json), ()
    except SpecError as error:
        return None, (f"The archived configuration cannot be read: {error}",)


def _groups(
    sources: RunSources,
    config: RunConfig | None,
    searched: Searched,
    statuses: Mapping[str, GroupStatus],
) -> tuple[GroupView, ...]:
    keys: dict[str, tuple[str, ...]] = {}
    if config is not None:
        keys |= {group.key: group.nodes for group in config.node_groups()}
    elif sources.archive is not None:
        keys |= {key: group.nodes for key, group in sources.archive.groups.items()}
    keys |= {key: tuple(group.nodes) for key, group in statuses.items() if key not in keys}
    seed = 42 if config is None else config.spec.optimizer.seed
    views = group_views(keys, searched, statuses, seed=seed)
    if sources.archive is None or statuses:
        return views
    # Without a status the archive alone says how a group ended.
    missing = "Not archived yet" if sources.archive.progressive else "No result"
    given = set(sources.archive.sizes) or {view.size for view in views}
    return tuple(
        view
        if view.ended
        else replace(
            view,
            ended=missing if view.size in given else "Archive not given",
            failed=not sources.archive.progressive and view.size in given,
        )
        for view in views
    )


def _nodes(config: RunConfig | None, groups: Sequence[GroupView]) -> tuple[NodeView, ...]:
    """The cascade's nodes; without a configuration those of the groups, at their letters."""
    by_letter: dict[str, str] = {}
    if config is not None:
        names = [node.name for node in config.spec.cascade.nodes]
        by_letter = dict(zip(_LETTERS, names, strict=False))
    for group in groups:
        for letter, name in zip(group.letters, group.nodes, strict=False):
            by_letter.setdefault(letter, name)
    short = short_names(list(by_letter.values()))
    return tuple(
        NodeView(letter, by_letter[letter], short[by_letter[letter]])
        for letter in sorted(by_letter)
    )


def _records(sources: RunSources, document: bytes | None) -> RecordsView:
    split: dict[str, int] = {}
    for row in () if sources.archive is None else sources.archive.split:
        split[row.split] = split.get(row.split, 0) + 1
    return read_records(read_object(document), split)


def _with_attempts(group: GroupView, attempts: Sequence[AttemptView]) -> GroupView:
    own = [attempt for attempt in attempts if attempt.job == group.key]
    if not own:
        return group
    return replace(
        group,
        seconds=sum(attempt.seconds for attempt in own),
        peak_memory=max(group.peak_memory, *(attempt.peak for attempt in own)),
        memory_limit=group.memory_limit or own[-1].limit,
        attempts=max(group.attempts, *(attempt.number for attempt in own)),
    )


def _phase(sources: RunSources, groups: Sequence[GroupView]) -> tuple[str, str]:
    if sources.status is not None and sources.status.phase is not None:
        return sources.status.phase.value, _message(sources.status)
    if sources.history is not None:
        return sources.history.phase.value, sources.history.reason
    if sources.archive is None:
        return "Unknown", "nothing of this run is at hand"
    finished = sum(bool(group.calls) for group in groups)
    whole = f"{finished} of {len(groups)} groups have a result"
    if sources.archive.progressive:
        return Phase.TRAINING.value, f"{whole}; this is a progressive archive, the run was not over"
    return (Phase.COMPLETE.value if finished == len(groups) else "Archived"), whole


def _message(status: TrainingSessionStatus) -> str:
    spoken: dict[str, Condition] = {c.type.value: c for c in status.conditions if c.message}
    for name in ("Failed", "Stalled", "Complete", "Suspended", "Reconciling", "Ready"):
        if name in spoken and spoken[name].status == "True":
            return spoken[name].message
    return spoken["Ready"].message if "Ready" in spoken else ""


def _number(sources: RunSources, config: RunConfig | None) -> int:
    if config is not None:
        return config.run
    if sources.status is not None and sources.status.run is not None:
        return sources.status.run.number
    return 0 if sources.history is None else sources.history.number


def _started(sources: RunSources) -> datetime | None:
    if sources.status is not None and sources.status.run is not None:
        return sources.status.run.start_time
    if sources.history is not None and sources.history.start_time is not None:
        return sources.history.start_time
    try:
        return datetime.strptime(sources.session_id, _SESSION_ID).replace(tzinfo=UTC)
    except ValueError:
        return None


def _seconds(sources: RunSources, attempts: Sequence[AttemptView]) -> float | None:
    run = None if sources.status is None else sources.status.run
    start = run.start_time if run is not None else None
    end = run.completion_time if run is not None else None
    if run is None and sources.history is not None:
        start, end = sources.history.start_time, sources.history.completion_time
    if start is not None and (end or sources.now) is not None:
        return max(0.0, ((end or sources.now or start) - start).total_seconds())
    return max((attempt.start + attempt.seconds for attempt in attempts), default=None)


def _best(groups: Sequence[GroupView], searched: Searched) -> GroupView | None:
    """The best finished group by validation score; ties go to the smaller, then the earlier one."""
    finished = [g for g in groups if g.key in searched.results and g.best is not None]
    scored = finished or [g for g in groups if g.best is not None]
    return max(
        scored, key=lambda g: (round(g.best.value, 12) if g.best else -1.0, -g.size), default=None
    )


def _attribution(
    status: TrainingSessionStatus | None,
    nodes: Sequence[NodeView],
    searched: Searched,
    spec: TrainingSessionSpec | None,
) -> tuple[AttributionView, ...]:
    found: Sequence[AttributionStatus] = [] if status is None else status.attribution
    if not found and searched.results:
        seed = 42 if spec is None else spec.optimizer.seed
        try:
            found = attribution_of([node.name for node in nodes], searched.results, seed=seed)
        except ValueError:
            found = []
    by_name = {node.name: node for node in nodes}
    return tuple(
        AttributionView(
            by_name[one.node], Interval(float(one.value), float(one.low), float(one.high))
        )
        for one in found
        if one.node in by_name
    )


def _prompts(
    archive: RunArchive | None, nodes: Sequence[NodeView], best: GroupView | None
) -> tuple[tuple[PromptView, ...], tuple[str, ...]]:
    if archive is None or best is None or not best.choice:
        return (), ()
    try:
        pool = CandidatePool.from_bytes(archive.candidates_json)
        return prompt_views(nodes, best.choice, pool), ()
    except DataError as error:
        return (), (f"The prompts cannot be shown: {error}",)


def _warm_start(sources: RunSources, document: bytes | None) -> str:
    if sources.status is not None and sources.status.run is not None:
        return sources.status.run.warm_started_from
    found = read_object(document).get("warmStartedFrom")
    return found[:64] if isinstance(found, str) else ""


def _memory_budget(spec: TrainingSessionSpec | None) -> int:
    return int(parse_quantity(spec.memory.budget)) if spec is not None and spec.memory.budget else 0


def _with_estimate(data: ReportData, sources: RunSources, document: bytes | None) -> ReportData:
    estimate = read_estimate(document)
    if estimate is None:
        return data
    calls = total_calls(data)
    actual: dict[str, float | None] = {}
    if data.over or (sources.archive is not None and not sources.archive.progressive):
        actual = {
            "modelCalls": None if calls is None else calls.model_calls,
            "tokens": None if calls is None else tokens(calls),
            "seconds": data.seconds,
            "peakMemory": memory_over_time(data.attempts).peak or None,
        }
    return replace(
        data,
        estimate=estimate_rows(estimate, actual),
        estimated_calls={key: group.model_calls.likely for key, group in estimate.groups.items()},
    )
