"""Stage 83: what a run takes over from an earlier one of the same session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.archive_spec import WarmStartPolicy
from cascade_operator.api.errors import DataError, SpecError
from cascade_operator.api.run import RunConfig
from cascade_operator.archive.catalog import ArchivedRun, find_run
from cascade_operator.archive.errors import REPLACE
from cascade_operator.archive.impute import RecordSpace, impute_posteriors, record_space
from cascade_operator.archive.model import RunArchive, SplitRow
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.posterior import restored
from cascade_operator.training.results import read_result
from cascade_operator.training.warm_start import Joined, join_archived
from cascade_operator.worker.context import JobContext
from cascade_operator.worker.restore import archived_runs, read_run
from cascade_operator.worker.run_data import GroupStart, RunData

Programs = list[tuple[float, GroupOutcome, dict[str, Candidate]]]
"""Score, result and best program of each archived group, the best first."""

_MAX_NOTE: Final = 500
_MOST_NOTES: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """An archived run that reads, and its programs."""

    archive: RunArchive
    programs: Programs

    @property
    def score(self) -> float:
        return self.programs[0][0] if self.programs else 0.0


@dataclass(frozen=True, slots=True)
class WarmStarted:
    """What was taken over.

    Attributes:
        source: The run's session id; empty for a cold start.
        pool: The pool with the archived candidates in it; None for a cold start.
        notes: What was imputed or left out, for a reader.
    """

    source: str = ""
    pool: CandidatePool | None = None
    notes: tuple[str, ...] = ()


def warm_start(context: JobContext, pool: CandidatePool, data: RunData) -> WarmStarted:
    """Takes over candidates, programs and posteriors, as the session's policy says.

    Raises:
        SpecError: The session names an archive that is not there.
        DataError: The archive it names cannot be read.
    """
    found, notes = _chosen(context)
    for note in notes:
        log_stage(55, note)
    if found is None:
        return WarmStarted(notes=notes)
    archive, programs = found.archive, found.programs
    with run_stage(83, run=archive.session_id):
        store = TraceStore(context.redis, context.keys)
        joined = join_archived(pool, _by_node(programs), set(store.record_ids(Split.TRAINING)))
        imputed = _starts(context, archive, programs, joined, store=store, data=data)
    dropped = (
        (f"{joined.dropped} archived demonstrations left out: their records no longer train",)
        if joined.dropped
        else ()
    )
    taken = (*_differences(context.config, archive), *dropped, *imputed)
    for note in taken:
        log_stage(56, note)
    return WarmStarted(archive.session_id, joined.pool, (*notes, *taken))


def _chosen(context: JobContext) -> tuple[_Source | None, tuple[str, ...]]:
    spec = context.config.spec.warm_start
    first = context.config.spec.cascade.nodes[0].name
    runs = [r for r in archived_runs(context) if r.session_id != context.config.session_id]
    if spec.archive:
        return _named(runs, spec.archive, first), ()
    if spec.policy is WarmStartPolicy.NONE:
        return None, ()
    usable = [run for run in runs if run.files]
    ranked = sorted(usable, key=lambda run: (run.complete, run.session_id), reverse=True)
    found, notes = _first_readable(ranked, first, best=spec.policy is WarmStartPolicy.BEST)
    damaged = [f"left out: {problem}"[:_MAX_NOTE] for run in runs for problem in run.problems]
    notes = [*notes, *reversed(damaged)]
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"{len(notes) - _MOST_NOTES} more archives left out"]
    return found, tuple(notes)


def _named(runs: Sequence[ArchivedRun], name: str, node: str) -> _Source:
    """The run that the session names. Nothing takes its place, and no part of it is left out."""
    named = find_run(runs, name, damaged=True)
    if named is None:
        known = ", ".join(run.session_id for run in runs if run.files) or "none"
        raise SpecError(
            f"spec.warmStart.archive {name!r} is not on the archives' volume",
            mend=f"runs there: {known}",
        )
    if named.problems:
        raise DataError(f"spec.warmStart.archive {name!r}: {named.problems[0]}", mend=REPLACE)
    try:
        return _read(named, node)
    except DataError as error:
        raise DataError(
            f"spec.warmStart.archive {name!r}: {error}", mend=error.mend or REPLACE
        ) from error


def _read(run: ArchivedRun, node: str) -> _Source:
    """Reads a run, and of its matrices the ones of the node that records are compared by."""
    archive = read_run(run, nodes=(node,))
    try:
        return _Source(archive, _programs(archive))
    except DataError as error:
        # Its digests are right and its candidates are none: as useless as a damaged one.
        raise DataError(f"archive of {run.session_id}: {error}", mend=REPLACE) from error


def _first_readable(
    runs: Sequence[ArchivedRun], node: str, *, best: bool
) -> tuple[_Source | None, list[str]]:
    """The first run that reads, or of all that read the one with the best validation score."""
    notes: list[str] = []
    found: _Source | None = None
    for run in runs:
        try:
            source = _read(run, node)
        except DataError as error:
            notes.append(f"archive of {run.session_id} left out: {error}"[:_MAX_NOTE])
            continue
        if found is None or source.score > found.score:
            found = source  # the others need not stay in memory
        if not best:
            break
    return found, notes


def _outcomes(archive: RunArchive) -> dict[str, GroupOutcome]:
    found = {}
    for key, group in archive.groups.items():
        try:
            if group.result:
                found[key] = read_result(group.result)[0]
        except ValueError as error:
            log_stage(55, f"the archived result of {key} is left out: {error}")
    return found


def _programs(archive: RunArchive) -> Programs:
    """Each archived group's best program, the best-scoring group first."""
    pool = CandidatePool.from_bytes(archive.candidates_json)
    found = [
        (
            outcome.score or 0.0,
            outcome,
            {node: pool.get(node, index) for node, index in outcome.choice.items()},
        )
        for outcome in _outcomes(archive).values()
    ]
    return sorted(found, key=lambda entry: (-entry[0], entry[1].group.key))


def _by_node(
    programs: Programs,
) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for _, _, program in programs:
        for node, candidate in program.items():
            if candidate not in found.setdefault(node, []):
                found[node].append(candidate)
    return found


def _starts(
    context: JobContext,
    archive: RunArchive,
    programs: Programs,
    joined: Joined,
    *,
    store: TraceStore,
    data: RunData,
) -> tuple[str, ...]:
    """Writes each group's start; returns what was imputed."""
    rows = [
        SplitRow(record.record_id, record.content_hash, "validation")
        for record in store.records(Split.VALIDATION)
    ]
    groups = {group.key: group.nodes for group in context.config.node_groups()}
    first = context.config.spec.cascade.nodes[0].name
    space = RecordSpace(
        store.manifest().recipe, store.record_ids(), store.matrices(first)["in"]["raw"]
    )
    imputation = impute_posteriors(
        groups, rows, archive, space=space, archived_space=record_space(archive, first)
    )
    choices: dict[frozenset[str], Mapping[str, int] | None] = {}
    for _, outcome, program in programs:
        choices.setdefault(frozenset(outcome.group.nodes), joined.choice(program))
    ids = [row.record_id for row in rows]
    for key, nodes in groups.items():
        table = imputation.posteriors[key]
        counts = {
            record_id: (float(alpha) - 1.0, float(beta) - 1.0)
            for record_id, (alpha, beta) in zip(ids, table, strict=True)
        }
        data.put_start(key, GroupStart(choices.get(frozenset(nodes)), restored(counts, ids)))
    return imputation.notes


def _differences(config: RunConfig, archive: RunArchive) -> tuple[str, ...]:
    """Says in which sections the archived run was asked for something else."""
    try:
        old = RunConfig.from_json(archive.config_json)
    except SpecError as error:
        return (f"the archived configuration cannot be compared: {error}",)
    sections = ("cascade", "models", "objective", "traces")
    return tuple(
        f"spec.{name} differs from the archived run's"
        for name in sections
        if getattr(old.spec, name) != getattr(config.spec, name)
    )
