"""Finished runs of cascades of one to six nodes, made up, for reports of them."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.records import CallFigures, GroupResult
from cascade_operator.api.run import RunConfig
from cascade_operator.api.status import StopReason
from cascade_operator.archive.model import GroupArchive, RunArchive, SplitRow
from cascade_operator.report.build import RunSources
from cascade_operator.report.model import ArchiveView
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.results import result_document
from cascade_operator.training.trial import Origin, Trial
from fakes.worker_jobs import run_config as tiny_run

SESSION_ID = "20260102T030405Z"
NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
VALIDATION, HELD_OUT, TRIALS = 12, 6, 10


def node_names(count: int) -> tuple[str, ...]:
    words = ("read", "plan", "write", "check", "mend", "send")
    return tuple(f"agent-{10 * i:02d}-{words[i]}" for i in range(count))


def node_groups(count: int) -> list[NodeGroup]:
    names = node_names(count)
    return [
        NodeGroup(chosen, tuple(names[at] for at in chosen))
        for size in range(1, count + 1)
        for chosen in combinations(range(count), size)
    ]


def run_config(count: int) -> RunConfig:
    tiers = [
        {
            "name": f"tier-{i}",
            "code": min(39, 7 * i),
            "nodes": [{"name": name, "signature": f"f{i} -> f{i + 1}"}],
        }
        for i, name in enumerate(node_names(count))
    ]
    config = tiny_run(cascade={"tiers": tiers})
    groups = [group.key for group in node_groups(count)]
    return config.model_copy(update={"session_id": SESSION_ID, "groups": groups})


def pool(count: int, instructions: str = "Write {node} well.\nNever guess.") -> CandidatePool:
    return CandidatePool(
        {
            name: (
                Candidate(f"Write {name}.\nNever guess."),
                Candidate(
                    instructions.replace("{node}", name),
                    (Demonstration("r1", {"f0": "a ticket"}, {"f1": "an answer"}),),
                    "proposed",
                ),
            )
            for name in node_names(count)
        }
    )


def outcome_of(group: NodeGroup, gain: float) -> GroupOutcome:
    """A search whose best program is better by about ``gain`` on each record."""
    dice = random.Random(7)  # one declared program: the same in every group
    base = [round(dice.uniform(0.2, 0.7), 4) for _ in range(VALIDATION)]
    held_base = [round(dice.uniform(0.2, 0.7), 4) for _ in range(HELD_OUT)]
    trials = [_trial(0, (0,) * group.size, base, Origin.BASELINE)]
    for number in range(1, TRIALS):
        step = gain * number / (TRIALS - 1)
        scores = [min(1.0, max(0.0, score + step)) for score in base]
        trials.append(_trial(number, (1,) * group.size, scores, Origin.SAMPLER))
    held = tuple(min(1.0, max(0.0, s + gain / 2)) for s in held_base)
    return GroupOutcome(
        group=group,
        choice=dict.fromkeys(group.nodes, 1),
        trials=tuple(trials),
        baseline=trials[0].score,
        score=max(trial.score for trial in trials),
        held_out=sum(held) / len(held),
        baseline_held_out=sum(held_base) / len(held_base),
        held_out_scores=held,
        baseline_held_out_scores=tuple(held_base),
        previous_best=None,
        posterior=Posterior.uniform(VALIDATION),
        record_ids=tuple(f"v{i}" for i in range(VALIDATION)),
        held_out_ids=tuple(f"h{i}" for i in range(HELD_OUT)),
        reason=StopReason.CONVERGED,
    )


def _trial(number: int, program: tuple[int, ...], scores: list[float], origin: Origin) -> Trial:
    return Trial(number, program, origin, None, tuple(scores), sum(scores) / len(scores))


def figures_of(outcome: GroupOutcome) -> GroupResult:
    return GroupResult(
        group=outcome.group.key,
        trials=len(outcome.trials),
        baseline=outcome.baseline or 0.0,
        score=outcome.score or 0.0,
        reason=outcome.reason,
        peak_memory=100 << 20,
        calls=CallFigures(
            model_calls=30 * outcome.group.size,
            cache_hits=70 * outcome.group.size,
            input_tokens=9000,
            output_tokens=700,
        ),
        choice=dict(outcome.choice),
    )


def timeline(count: int) -> dict[str, Any]:
    """Prepare, one attempt a group and an archive that was running, one after the other."""
    jobs = [_job("prepare", 0, [[84, 0, 2], [12, 2, 5], [44, 5, 9]])]
    for at, group in enumerate(node_groups(count)):
        jobs.append(_job(group.key, 10 + 3 * at, [[41, 0.1, 8.9]]))
    end = jobs[-1]["start"] - 1e9 + 10
    jobs.append(_job("archive", end, [[50, 0, 1.5]], seconds=1.5, outcome=""))
    return {"version": 1, "jobs": jobs}


def _job(
    name: str, start: float, stages: list[Any], *, seconds: float = 9.0, outcome: str = "Done"
) -> dict[str, Any]:
    return {
        "job": name,
        "attempt": 1,
        "start": 1e9 + start,
        "seconds": seconds,
        "outcome": outcome,
        "memoryLimit": 1 << 30,
        "memory": {"step": 1.0, "bytes": [(60 + 5 * i) << 20 for i in range(int(seconds) + 1)]},
        "stages": stages,
    }


def records(**changes: Any) -> dict[str, Any]:
    document = {
        "version": 1,
        "records": 30,
        "split": {"training": 12, "validation": VALIDATION, "heldOut": HELD_OUT},
        "duplicates": 2,
        "rejected": {"total": 1, "rows": [{"row": 7, "recordId": "r7", "reason": "no output"}]},
        "warmStartedFrom": "20251231T000000Z",
        "notes": {"total": 1, "shown": ["posterior of 00_01 taken from 00"]},
        "calls": {"modelCalls": 40, "inputTokens": 1000, "outputTokens": 500},
        "traceMetrics": {"agent-00-read": {"confidence": {"mean": 0.75, "records": 30}}},
    }
    return document | changes


def estimate(count: int) -> dict[str, Any]:
    return {
        "version": 1,
        "modelCalls": {"likely": 100, "atMost": 5000},
        "tokens": {"likely": 10_000, "atMost": 90_000},
        "seconds": 60.0,
        "groups": {g.key: {"modelCalls": {"likely": 20, "atMost": 90}} for g in node_groups(count)},
    }


def archive(count: int = 2, *, gain: float = 0.2, **changes: Any) -> RunArchive:
    """A run of ``count`` nodes; each group is better by its share of ``gain``."""
    split = [("t", "training", 12), ("v", "validation", VALIDATION), ("h", "heldOut", HELD_OUT)]
    groups = {}
    for group in node_groups(count):
        outcome = outcome_of(group, gain * group.size / count)
        groups[group.key] = GroupArchive(
            key=group.key,
            nodes=group.nodes,
            checkpoint_json=b"{}",
            posterior=outcome.posterior.parameters(),
            program_json=b"{}",
            result=result_document(outcome, figures_of(outcome)),
        )
    documents = {
        "18_records.json": records(),
        "62_timeline.json": timeline(count),
        "65_estimate.json": estimate(count),
    }
    values: dict[str, Any] = {
        "config_json": run_config(count).to_json().encode(),
        "session_id": SESSION_ID,
        "namespace": "team-a",
        "session": "support",
        "progressive": False,
        "split": tuple(
            SplitRow(f"{letter}{i}", "0" * 64, name) for letter, name, n in split for i in range(n)
        ),
        "candidates_json": pool(count).to_bytes(),
        "groups": groups,
        "sizes": tuple(range(1, count + 1)),
        "documents": {name: json.dumps(value).encode() for name, value in documents.items()},
    }
    return RunArchive(**values | changes)


def sources(count: int = 2, **changes: Any) -> RunSources:
    """What is at hand of a finished run of ``count`` nodes; ``changes`` are of the archive."""
    run = archive(count, **changes)
    return RunSources(
        namespace=run.namespace,
        session=run.session,
        session_id=run.session_id,
        archive=run,
        archives=(ArchiveView(f"{SESSION_ID}_size01.tar.zst", 1, 4096, "ab" * 32),),
        now=NOW,
    )
