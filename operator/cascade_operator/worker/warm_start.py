"""Stage 83: what a run takes over from an earlier one of the same session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.archive_spec import WarmStartPolicy
from cascade_operator.api.errors import DataError, SpecError
from cascade_operator.api.run import RunConfig
from cascade_operator.archive.catalog import ArchivedRun, find_run
from cascade_operator.archive.impute import RecordSpace, impute_posteriors, record_space
from cascade_operator.archive.model import RunArchive, SplitRow
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.traces.record import Split
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.posterior import restored
from cascade_operator.training.warm_start import Joined, join_archived
from cascade_operator.worker.context import JobContext
from cascade_operator.worker.restore import archived_runs, read_run
from cascade_operator.worker.run_data import GroupStart, RunData, read_result


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
    """
    archive, notes = _chosen(context)
    if archive is None:
        return WarmStarted(notes=notes)
    with run_stage(83, run=archive.session_id):
        programs = _programs(archive)
        store = TraceStore(context.redis, context.keys)
        joined = join_archived(pool, _by_node(programs), set(store.record_ids(Split.TRAINING)))
        imputed = _starts(context, archive, programs, joined, store=store, data=data)
    dropped = (
        (f"{joined.dropped} archived demonstrations left out: their records no longer train",)
        if joined.dropped
        else ()
    )
    found = (*notes, *_differences(context.config, archive), *dropped, *imputed)
    for note in found:
        log_stage(56, note)
    return WarmStarted(archive.session_id, joined.pool, found)


def _chosen(context: JobContext) -> tuple[RunArchive | None, tuple[str, ...]]:
    spec = context.config.spec.warm_start
    runs = [
        r for r in archived_runs(context) if r.files and r.session_id != context.config.session_id
    ]
    if spec.archive:
        named = find_run(runs, spec.archive)
        if named is None:
            known = ", ".join(run.session_id for run in runs) or "none"
            raise SpecError(
                f"spec.warmStart.archive {spec.archive!r} is not on the archives' volume",
                mend=f"runs there: {known}",
            )
        return read_run(named), ()
    if spec.policy is WarmStartPolicy.NONE or not runs:
        return None, ()
    ranked = sorted(runs, key=lambda run: (run.complete, run.session_id), reverse=True)
    return _first_readable(ranked, best=spec.policy is WarmStartPolicy.BEST)


def _first_readable(
    runs: list[ArchivedRun], *, best: bool
) -> tuple[RunArchive | None, tuple[str, ...]]:
    """The first run that reads, or of all that read the one with the best validation score."""
    notes: list[str] = []
    readable: list[tuple[float, RunArchive]] = []
    for run in runs:
        try:
            archive = read_run(run)
        except DataError as error:
            notes.append(f"archive of {run.session_id} left out: {error}"[:500])
            continue
        scores = [outcome.score or 0.0 for outcome in _outcomes(archive).values()]
        readable.append((max(scores, default=0.0), archive))
        if not best:
            break
    if not readable:
        return None, tuple(notes)
    return max(readable, key=lambda pair: pair[0])[1], tuple(notes)


def _outcomes(archive: RunArchive) -> dict[str, GroupOutcome]:
    found = {}
    for key, group in archive.groups.items():
        try:
            if group.result:
                found[key] = read_result(group.result)[0]
        except (ValueError, KeyError, TypeError) as error:
            log_stage(55, f"the archived result of {key} is left out: {error}")
    return found


def _programs(archive: RunArchive) -> list[tuple[float, GroupOutcome, dict[str, Candidate]]]:
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
    programs: list[tuple[float, GroupOutcome, dict[str, Candidate]]],
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
    programs: list[tuple[float, GroupOutcome, dict[str, Candidate]]],
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
