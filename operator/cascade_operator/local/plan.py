"""What a session's run would take on this machine: ``cascade plan``. Leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cascade_operator.api.archive_spec import WarmStartPolicy
from cascade_operator.api.estimate import RunEstimate
from cascade_operator.api.groups import select_groups
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.resolve import resolve
from cascade_operator.api.run import RunConfig
from cascade_operator.api.session import TrainingSession
from cascade_operator.archive.catalog import SessionFolder, list_runs
from cascade_operator.local.capacity import available_memory
from cascade_operator.local.embedded import LOCAL_DEFAULTS, Needs, embedded_servers
from cascade_operator.local.session_setup import fitted, trace_file
from cascade_operator.local.session_store import DEFAULT_NAMESPACE
from cascade_operator.local.state import StateFolder, checked_name
from cascade_operator.training.estimate.compose import ARCHIVE_BYTES, GROUP_BYTES
from cascade_operator.training.estimate.schedule import Schedule
from cascade_operator.training.estimate.speed import Speed
from cascade_operator.worker.memory_need import prepare_need
from cascade_operator.worker.plan import (
    Described,
    PlanPlaces,
    ask_server,
    calls_to_ask,
    describe,
    plan,
)

_ONLY_CHAT = Needs(chat=True, embeddings=False, redis=False)


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Memory of one kind of Job.

    Attributes:
        stage: ``prepare``, ``group`` or ``archive``.
        limit: Its limit in bytes.
        need: What it is expected to use.
    """

    stage: str
    limit: int
    need: int


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What a run would take.

    Attributes:
        config: The run it would be, resolved for this machine.
        estimate: Calls, tokens, time.
        schedule: When its Jobs would run.
        memory: Limits and needs by kind of Job.
        threshold: Share of a limit, in percent, at which a Job saves and leaves.
        memory_budget: Sum of limits at once; None for no bound.
        free_memory: Bytes that are free on this machine now.
        rejected: Trace rows put aside.
        asked: Calls the server was asked.
        embedded: Whether the model that comes with the package was asked, or would be.
        notes: What a reader should know, among it what the estimate assumes.
        warnings: What should be changed before the run.
    """

    config: RunConfig
    estimate: RunEstimate
    schedule: Schedule
    memory: tuple[StageMemory, ...]
    threshold: float
    memory_budget: int | None
    free_memory: int
    rejected: int
    asked: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


async def plan_session(
    session: TrainingSession,
    base_dir: Path,
    state: Path,
    *,
    ask: bool,
    on_step: Callable[[str], None] = lambda _step: None,
) -> SessionPlan:
    """Plans a session's next run as ``cascade run`` would start it from nothing.

    DSPy must have been set up before (``agents.dspy_settings``), outside of any event loop: its
    settings belong to the task that made them.

    Args:
        session: The session as its user wrote it.
        base_dir: Where its relative paths begin.
        state: The state folder; read where it is there, and never written.
        ask: Whether the task server is asked a few calls for its speed.
        on_step: Told what is done next, for a reader.

    Raises:
        SpecError: The session asks for what cannot be had here.
        DataError: Its traces are unusable.
        ServiceUnavailable: The model's server does not answer.
    """
    fit, machine_notes = fitted(session)
    config = _config(fit)
    folder = StateFolder(state.resolve())
    with tempfile.TemporaryDirectory(prefix="cascade-plan-") as scratch:
        places = PlanPlaces(
            config, _volume(folder, config), trace_file(session, base_dir), Path(scratch)
        )
        on_step("reading traces")
        described = await asyncio.to_thread(describe, places)
        speed, asked = Speed(), 0
        if ask:
            most = calls_to_ask(described)
            on_step(f"asking the task model {most} short calls at most, to learn its speed")
            own = StateFolder.at(Path(scratch) / "state")
            async with embedded_servers(session.spec, own, only=_ONLY_CHAT) as servers:
                environ = {
                    "CASCADE_SECRETS": str(folder.path / "secrets"),
                    **os.environ,
                    **servers.environment,
                }
                speed, asked = await asyncio.to_thread(ask_server, described, environ)
        on_step("simulating the searches")
        notes = (*machine_notes, *_notes(described, folder, asked=ask))
        found = await asyncio.to_thread(plan, described, speed, notes)
    memory = _memory(config, len(described.traces.records))
    spec = config.spec
    budget = parse_quantity(spec.memory.budget) if spec.memory.budget else None
    return SessionPlan(
        config=config,
        estimate=found.estimate,
        schedule=found.schedule,
        memory=memory,
        threshold=spec.memory.threshold_percent,
        memory_budget=budget,
        free_memory=available_memory(),
        rejected=described.traces.bad,
        asked=asked,
        notes=notes,
        warnings=_warnings(memory, spec.memory.threshold_percent),
    )


def _config(session: TrainingSession) -> RunConfig:
    spec = resolve(session.spec, LOCAL_DEFAULTS)
    return RunConfig(
        namespace=session.metadata.namespace or DEFAULT_NAMESPACE,
        name=session.metadata.name,
        uid="plan",
        run=1,
        session_id="19700101T000000Z",
        spec_hash="",
        spec=spec,
        groups=[group.key for group in select_groups(spec.cascade, spec.groups)],
    )


def _volume(folder: StateFolder, config: RunConfig) -> Path:
    """The folder of the traces' claim; it is not made where it is missing."""
    claim = config.spec.traces.persistent_volume_claim
    return folder.path / "volumes" / checked_name(claim.claim_name) if claim else folder.path


def _memory(config: RunConfig, records: int) -> tuple[StageMemory, ...]:
    resources = config.spec.resources
    return (
        StageMemory(
            "prepare",
            parse_quantity(resources.prepare.limits.memory),
            prepare_need(config.spec, records).likely,
        ),
        StageMemory("group", parse_quantity(resources.group.limits.memory), GROUP_BYTES),
        StageMemory("archive", parse_quantity(resources.archive.limits.memory), ARCHIVE_BYTES),
    )


def _warnings(memory: tuple[StageMemory, ...], threshold: float) -> tuple[str, ...]:
    found = []
    for one in memory:
        usable = one.limit * threshold / 100
        if one.need > usable:
            found.append(
                f"the {one.stage} Job is expected to use {one.need >> 20} MiB, and it leaves with "
                f"a checkpoint at {usable / 2**20:.0f} MiB ({threshold:g} % of its limit): raise "
                f"spec.resources.{one.stage}.limits.memory"
            )
    return tuple(found)


def _notes(described: Described, folder: StateFolder, *, asked: bool) -> tuple[str, ...]:
    config = described.config
    notes = []
    if _starts_warm(config, folder):
        notes.append(
            "earlier archives of this session are there: the run starts warm from them, which may "
            "add their programs to the candidates, and the shared cache spares calls made before"
        )
    if not asked:
        notes.append(
            "no server was asked, so no time is given and a token is taken to be 4 letters"
        )
    if described.traces.bad:
        notes.append(
            f"{described.traces.bad} rows of the traces are put aside; "
            "`cascade traces validate` says why"
        )
    return tuple(notes)


def _starts_warm(config: RunConfig, folder: StateFolder) -> bool:
    claim, warm = config.spec.archive.persistent_volume_claim, config.spec.warm_start
    if warm.policy is WarmStartPolicy.NONE and not warm.archive:
        return False
    root = folder.path / "volumes" / checked_name(claim.claim_name) / claim.sub_path
    runs = list_runs(root, SessionFolder(config.namespace, config.name)) if root.is_dir() else ()
    return any(run.files for run in runs)


def plan_document(found: SessionPlan) -> Mapping[str, object]:
    """Returns a plan as one JSON object: the estimate's own form, and what surrounds it."""
    return {
        **found.estimate.dump(),
        "session": found.config.name,
        "askedCalls": found.asked,
        "memory": {
            "stages": {one.stage: {"limit": one.limit, "need": one.need} for one in found.memory},
            "jobsAtOnce": found.schedule.at_once,
            "limitsAtOnce": found.schedule.limits,
            "budget": found.memory_budget,
            "free": found.free_memory,
        },
        "schedule": {
            name: {"start": round(start, 1), "end": round(end, 1)}
            for name, (start, end) in found.schedule.times.items()
        }
        if found.estimate.seconds is not None
        else {},
        "warnings": list(found.warnings),
    }
