"""Stage 84: where a run's traces come from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.api.errors import SpecError
from cascade_operator.api.run import RunConfig
from cascade_operator.api.traces_spec import TracesSpec
from cascade_operator.monitoring.stage_log import log_stage, run_stage
from cascade_operator.traces.bfcl import import_bfcl
from cascade_operator.traces.reader import read_traces
from cascade_operator.traces.record import NodeFields, TraceSet

IMPORTED = "85_latest.parquet"


class TracePlaces(Protocol):
    """Where traces can lie; a JobContext says it."""

    @property
    def config(self) -> RunConfig: ...  # noqa: D102 - see JobContext

    @property
    def traces(self) -> Path: ...  # noqa: D102

    @property
    def traces_file(self) -> Path | None: ...  # noqa: D102

    @property
    def scratch(self) -> Path: ...  # noqa: D102


def load_traces(context: TracePlaces) -> TraceSet:
    """Opens the session's traces, making them first where they are imported.

    Raises:
        DataError: The file is missing, broken, or holds too many bad rows.
        SpecError: The session names no source that can be used here.
    """
    spec = context.config.spec.traces
    path = _path(context, spec)
    with run_stage(84, file=path.name):
        found = read_traces(
            path,
            nodes=node_fields(context.config.spec.cascade),
            max_records=spec.max_records,
            max_invalid_percent=spec.max_invalid_percent,
        )
    log_stage(
        18,
        f"{len(found.records)} records, {found.bad} put aside, {found.duplicates} duplicates",
    )
    for rejected in found.rejected[:10]:
        log_stage(18, f"row {rejected.row} {rejected.record_id}: {rejected.reason}")
    return found


def node_fields(cascade: CascadeSpec) -> dict[str, NodeFields]:
    """Returns the fields that each node's traces must hold."""
    return {
        node.name: NodeFields(
            tuple(field.name for field in node.parsed.inputs),
            tuple(field.name for field in node.parsed.outputs),
        )
        for node in cascade.nodes
    }


def _path(context: TracePlaces, spec: TracesSpec) -> Path:
    if spec.import_ is not None:
        path = context.scratch / IMPORTED
        with run_stage(92, source=spec.import_.value):
            import_bfcl(
                path,
                max_records=spec.max_records,
                seed=context.config.spec.optimizer.seed,
                max_prompt_chars=spec.max_prompt_chars,
            )
        return path
    if spec.file is not None:
        if context.traces_file is None:
            raise SpecError(
                f"spec.traces.file {spec.file!r} names a file beside the session",
                mend="in a cluster put the traces on a claim and name it in "
                "spec.traces.persistentVolumeClaim",
            )
        return context.traces_file
    if spec.persistent_volume_claim is None:
        raise SpecError(
            "spec.traces names no source", mend="set import, persistentVolumeClaim or file"
        )
    return context.traces / spec.persistent_volume_claim.path
