"""Jobs of a small run for tests: its configuration, a Job's context, and results of groups."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cascade_operator.api.groups import group_of, parse_key
from cascade_operator.api.records import GroupResult
from cascade_operator.api.run import RunConfig
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import StopReason
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.trial import Origin, Trial
from cascade_operator.worker.context import JobContext, read_context
from cascade_operator.worker.stop import StopSignal
from fakes.records import SPEC

SESSION_ID = "20260101T000000Z"


def run_config(**spec: Any) -> RunConfig:
    """A resolved run; ``spec`` replaces parts of its spec."""
    values = {"cascade": SPEC.model_dump(mode="json", by_alias=True, exclude_none=True)}
    values |= {"traces": {"file": "traces.jsonl"}} | spec
    return RunConfig(
        namespace="team-a",
        name="support",
        uid="u-1",
        run=3,
        session_id=SESSION_ID,
        spec_hash="v1-0",
        spec=TrainingSessionSpec.model_validate(values),
        groups=["00", "01", "00_01"],
    )


def job_environment(folder: Path, url: str, config: RunConfig | None = None) -> dict[str, str]:
    """The environment that a Job's manifest sets, its files below a folder."""
    file = folder / "01_architecture_config.json"
    file.write_text((config or run_config()).to_json())
    return {
        "CASCADE_CONFIG": str(file),
        "CASCADE_REDIS_URL": url,
        "CASCADE_TRACES": str(folder / "traces"),
        "CASCADE_ARCHIVES": str(folder / "archives"),
        "CASCADE_SCRATCH": str(folder / "scratch"),
        "CASCADE_TERMINATION_LOG": str(folder / "termination-log"),
    }


def job_context(
    folder: Path, socket: str, config: RunConfig | None = None, **env: str
) -> JobContext:
    """A Job's context, read as a worker reads it."""
    environment: Mapping[str, str] = job_environment(folder, f"unix://{socket}", config) | env
    return read_context(environment, StopSignal())


def closed_redis() -> redis.Redis:
    """A client of a server that is not there."""
    path = f"/nonexistent-{os.getpid()}.sock"
    return redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0))


def outcome_of(
    key: str,
    score: float | None = 0.5,
    *,
    held_out: tuple[float, ...] = (),
    baseline: tuple[float, ...] = (),
) -> GroupOutcome:
    """What a search of one of the run's groups may have found."""
    group = group_of(SPEC, parse_key(key))
    program = (1,) * group.size
    trials = (
        Trial(0, (0,) * group.size, Origin.BASELINE, None, (0.25, 0.5), 0.375),
        Trial(1, program, Origin.SAMPLER, (1,), (0.75,), 0.6, parse_failures=1),
    )
    return GroupOutcome(
        group=group,
        choice=dict(zip(group.nodes, program, strict=True)),
        trials=trials,
        baseline=0.375,
        score=score,
        held_out=sum(held_out) / len(held_out) if held_out else None,
        baseline_held_out=sum(baseline) / len(baseline) if baseline else None,
        held_out_scores=held_out,
        baseline_held_out_scores=baseline,
        previous_best=None,
        posterior=Posterior.uniform(2).observe([0, 1], [0.25, 0.5]),
        record_ids=("r0", "r1"),
        held_out_ids=tuple(f"h{i}" for i in range(len(held_out))),
        reason=StopReason.EXHAUSTED,
    )


def figures_of(outcome: GroupOutcome) -> GroupResult:
    """The figures of an outcome, as its Job reports them."""
    return GroupResult(
        group=outcome.group.key,
        trials=len(outcome.trials),
        baseline=outcome.baseline or 0.0,
        score=outcome.score or 0.0,
        held_out=outcome.held_out,
        baseline_held_out=outcome.baseline_held_out,
        reason=outcome.reason,
        choice=dict(outcome.choice),
    )
