"""A small run of the default cascade: its traces, its configuration and its Jobs' contexts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade_operator.api.default_cascade import DEFAULT_CASCADE
from cascade_operator.api.groups import select_groups
from cascade_operator.api.resolve import Defaults, resolve
from cascade_operator.api.run import RunConfig
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.worker.context import JobContext, read_context
from cascade_operator.worker.stop import StopSignal

_WORDS = ("alarm", "blinds", "camera", "door", "engine", "fan", "garage", "heater", "iron", "jack")


def trace_rows(count: int) -> list[dict[str, Any]]:
    """Traces of the default cascade; no two share a field's value."""
    return [_row(number) for number in range(count)]


def write_traces(folder: Path, rows: list[dict[str, Any]]) -> Path:
    file = folder / "traces.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def run_config(**spec: Any) -> RunConfig:
    """A resolved run of the default cascade with all of its groups."""
    values = {"traces": {"file": "traces.jsonl"}} | spec
    defaults = Defaults(image="", redis_url="redis://unused")
    resolved = resolve(TrainingSessionSpec.model_validate(values), defaults)
    groups = select_groups(resolved.cascade, resolved.groups)
    return RunConfig(
        namespace="bench",
        name="bench",
        uid="bench",
        run=1,
        session_id="20260101T000000Z",
        spec_hash="v1-0",
        spec=resolved,
        groups=[group.key for group in groups],
    )


def job_environment(
    folder: Path, redis_url: str, config: RunConfig, traces: Path
) -> dict[str, str]:
    """What a Job's manifest sets, its files below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "01_architecture_config.json"
    file.write_text(config.to_json())
    return {
        "CASCADE_CONFIG": str(file),
        "CASCADE_REDIS_URL": redis_url,
        "CASCADE_TRACES": str(traces.parent),
        "CASCADE_TRACES_FILE": str(traces),
        "CASCADE_ARCHIVES": str(folder / "archives"),
        "CASCADE_SCRATCH": str(folder),
        "CASCADE_TERMINATION_LOG": str(folder / "termination-log"),
        "CASCADE_LOG": "text",
    }


def job_context(environment: Mapping[str, str]) -> JobContext:
    """A Job's context, read as a worker reads it."""
    return read_context({**os.environ, **environment}, StopSignal())


def _row(number: int) -> dict[str, Any]:
    word = f"{_WORDS[number % len(_WORDS)]}_{number}"
    function = {
        "name": f"set_{word}",
        "description": f"Sets the {word}.",
        "parameters": {"type": "object", "properties": {"value": {"type": "integer"}}},
    }
    request = {"request": f"Please set my {word} to {number}.", "functions": [function]}
    brief = {"brief": f"set_{word}: sets the {word}"}
    parameters = [{"name": "value", "type": "int", "required": True}]
    requirement = {"requirement": {"function": f"set_{word}", "parameters": parameters}}
    values = [{"name": "value", "value": number}]
    specification = {"specification": {"function": f"set_{word}", "arguments": values}}
    call = {"call": {"name": f"set_{word}", "arguments": {"value": number}}}
    inputs = (request, request | brief, {"request": request["request"]} | requirement)
    given = (*inputs, requirement | specification)
    written = (brief, requirement, specification, call)
    names = [node.name for node in DEFAULT_CASCADE.nodes]
    return {
        "record_id": f"r{number}",
        "agent_chain_inputs": _chain(names, given),
        "agent_chain_outputs": _chain(names, written),
        "validated_json": json.dumps(call),
    }


def _chain(names: list[str], fields: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
    return {name: json.dumps(one) for name, one in zip(names, fields, strict=True)}
