"""Stage 55: takes a run back from its own archives when Redis no longer holds it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace

from cascade_operator.api.errors import DataError
from cascade_operator.archive.catalog import ArchivedRun, SessionFolder, find_run, list_runs
from cascade_operator.archive.decoder import TableDecoder
from cascade_operator.archive.model import RunArchive, combine
from cascade_operator.archive.reader import KnownMatrices, read_archive
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.traces.record import Split, TraceSet
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.results import read_result
from cascade_operator.worker.context import JobContext
from cascade_operator.worker.leftovers import check_outcome
from cascade_operator.worker.run_data import RunData

SplitOf = dict[str, Split]
"""Record id -> its split."""


def archived_runs(context: JobContext) -> tuple[ArchivedRun, ...]:
    """Returns this session's archived runs, oldest first."""
    folder = SessionFolder(context.config.namespace, context.config.name)
    return list_runs(context.archives, folder)


def read_run(run: ArchivedRun, *, nodes: Collection[str] = ()) -> RunArchive:
    """Reads all files of an archived run.

    Args:
        run: The run.
        nodes: Whose matrices are wanted; they are most of an archive, and each file holds them.

    Raises:
        DataError: One of them is damaged.
    """
    known: KnownMatrices = {}
    with TableDecoder() as decoder:
        return combine(
            [
                read_archive(file.path, decoder=decoder, nodes=nodes, known=known)
                for file in run.files
            ]
        )


def own_archive(context: JobContext) -> RunArchive | None:
    """Returns what was archived of the current run, where its data is gone from Redis."""
    config = context.config
    runs = [run for run in archived_runs(context) if run.session_id == config.session_id]
    for run in runs:
        for problem in run.problems:
            log_stage(55, f"a part of this run's own archive is left out: {problem}")
    own = find_run(runs, config.session_id)
    if own is None:
        return None
    try:
        archive = read_run(own)
        pool = CandidatePool.from_bytes(archive.candidates_json)
        if list(pool.candidates) != [node.name for node in config.spec.cascade.nodes]:
            raise DataError("its candidates are of other nodes")
        return archive
    except DataError as error:
        log_stage(55, f"this run's own archive is left out: {error}")
        return None


def archived_traces(traces: TraceSet, archive: RunArchive) -> tuple[TraceSet, SplitOf] | None:
    """Returns the records that an archived run was made on, in its order, and their split.

    Traces may have grown since; what stands in the archive fits its own records only.

    Returns:
        None where one of them is no longer among today's traces, or none of them trains or
        validates.
    """
    known = {record.content_hash: record for record in traces.records}
    records, split = [], {}
    for row in archive.split:
        record = known.get(row.content_hash)
        if record is None:
            return None
        records.append(replace(record, record_id=row.record_id))
        split[row.record_id] = Split(row.split)
    if not {Split.TRAINING, Split.VALIDATION} <= set(split.values()):
        return None
    return replace(traces, records=tuple(records)), split


def restore_run(context: JobContext, data: RunData, archive: RunArchive) -> tuple[str, ...]:
    """Puts an archived run's pool, searches and results back into Redis.

    Nothing that stands in the archive is proposed or trained again.

    Returns:
        Keys of the groups that had finished.
    """
    finished = []
    with run_stage(55, run=archive.session_id, groups=len(archive.groups)):
        pool = CandidatePool.from_bytes(archive.candidates_json)
        data.put_pool(pool)
        data.put_documents(archive.documents)
        for key, group in archive.groups.items():
            if key not in context.config.groups:
                continue
            state = json.loads(group.checkpoint_json)
            if state and data.checkpoints(key).load() is None:
                data.checkpoints(key).save(state)
            if not group.result:
                continue
            try:
                outcome, _ = read_result(group.result)
                check_outcome(outcome, context.config.group(key), pool, len(archive.validation_ids))
            except ValueError as error:
                log_stage(55, f"the archived result of {key} is left out: {error}")
                continue
            data.put_result(key, group.result)
            finished.append(key)
    return tuple(finished)
