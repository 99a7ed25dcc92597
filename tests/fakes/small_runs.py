"""A run of two nodes as it stands in Redis, and archives of it: small, and all that warm starts
and restores need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade_operator.agents.candidate import Candidate
from cascade_operator.archive.model import GroupArchive, NodeMatrices, RunArchive, SplitRow
from cascade_operator.archive.writer import write_archives
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.store import TraceStore
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.worker.context import JobContext
from cascade_operator.worker.run_data import result_document
from fakes.traces import record
from fakes.worker_jobs import figures_of, outcome_of, run_config

NODES = ("plan", "act")
RECIPE = "r/256"
SPLITS = (Split.VALIDATION, Split.VALIDATION, Split.TRAINING, Split.TRAINING, Split.HELD_OUT)
"""Of the five records ``r0`` to ``r4``: those of ``outcome_of`` validate."""


def pool_of(*instructions: str) -> CandidatePool:
    """A pool whose declared program says nothing, with a candidate of each instruction a node."""
    texts = ("", *instructions)
    return CandidatePool({node: tuple(Candidate(text) for text in texts) for node in NODES})


def vectors_of(records: list[TraceRecord]) -> Any:
    """A vector that follows from each record's content, f32 [5, records, 8]."""
    rows = [
        np.random.default_rng(int(one.content_hash[:8], 16)).standard_normal(8) for one in records
    ]
    return np.repeat(np.array(rows, np.float32)[None], 5, axis=0)


def store_records(
    context: JobContext,
    records: list[TraceRecord] | None = None,
    splits: tuple[Split, ...] = SPLITS,
    recipe: str = RECIPE,
) -> TraceStore:
    """Writes a run's traces as prepare does."""
    records = [record(number) for number in range(5)] if records is None else records
    store = TraceStore(context.redis, context.keys)
    store.write(
        records,
        {one.record_id: split for one, split in zip(records, splits, strict=True)},
        vectors_of(records),
        vectors_of(records)[..., :4],
        recipe,
        nodes=NODES,
    )
    return store


def group_archive(outcome: GroupOutcome, **changes: Any) -> GroupArchive:
    """What an archive keeps of a finished group."""
    values: dict[str, Any] = {
        "key": outcome.group.key,
        "nodes": outcome.group.nodes,
        "checkpoint_json": b"{}",
        "posterior": outcome.posterior.parameters(),
        "program_json": b"{}",
        "result": result_document(outcome, figures_of(outcome)),
    }
    return GroupArchive(**(values | changes))


def archived_run(
    session_id: str, scores: Mapping[str, float] | None = None, **changes: Any
) -> RunArchive:
    """A run on the five records whose groups chose candidate 1 of ``pool_of("one")``."""
    records = [record(number) for number in range(5)]
    scores = {"00": 0.5, "01": 0.4, "00_01": 0.6} if scores is None else scores
    vectors = vectors_of(records)[0].astype(np.float16)
    matrices = NodeMatrices(
        tuple(one.record_id for one in records), vectors, vectors, vectors, vectors
    )
    config = replace_session(session_id)
    values: dict[str, Any] = {
        "config_json": config.encode(),
        "session_id": session_id,
        "namespace": "team-a",
        "session": "support",
        "progressive": False,
        "split": tuple(
            SplitRow(one.record_id, one.content_hash, split.value)
            for one, split in zip(records, SPLITS, strict=True)
        ),
        "candidates_json": pool_of("one").to_bytes(),
        "groups": {key: group_archive(outcome_of(key, score)) for key, score in scores.items()},
        "io_matrices": {"plan": matrices},
        "recipe": RECIPE,
    }
    return RunArchive(**(values | changes))


def replace_session(session_id: str) -> str:
    """The configuration of a run with another session id."""
    return run_config().model_copy(update={"session_id": session_id}).to_json()


def with_result(run: RunArchive, key: str, path: tuple[Any, ...], value: Any) -> RunArchive:
    """The run with one value of a group's result document replaced."""
    document = json.loads(json.dumps(run.groups[key].result))
    here = document
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    groups = dict(run.groups) | {key: replace(run.groups[key], result=document)}
    return replace(run, groups=groups)


def put_archive(root: Path, run: RunArchive, decoder: Any) -> list[Path]:
    """Writes a run's archives to a volume; returns the files, one a group size."""
    root.mkdir(parents=True, exist_ok=True)
    return [root / file.path for file in write_archives(run, root, decoder=decoder)]
