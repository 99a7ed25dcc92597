"""Stage 92: makes a trace file from the Berkeley Function Calling Leaderboard's live requests.

Every field comes from the data: the brief is the function's own description, the requirement its
parameter schema, the specification and the call the ground truth. Nothing is written by a model.
The data set (Apache-2.0) is by the Gorilla project of UC Berkeley.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.errors import CascadeError, DataError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.traces.bfcl_source import Task, read_tasks
from cascade_operator.traces.record import TraceRecord

BMAD: Final = "agent-00-autogen-bmad"
BAML: Final = "agent-10-baml-transform"
SPECKIT: Final = "agent-20-speckit-dspy"
EXECUTION: Final = "agent-30-dspy-execution"

_DISTRACTORS: Final = 3
_OMITTED: Final = ""
"""The data's mark for an argument that may be left out."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import wrote.

    Attributes:
        path: The trace file.
        records: How many records it holds.
        available: How many the data set has.
        with_alternatives: Records in which an argument has several accepted values.
        with_optional: Records in which an argument may be left out.
    """

    path: Path
    records: int
    available: int
    with_alternatives: int
    with_optional: int


def import_bfcl(
    out: Path,
    *,
    max_records: int | None = None,
    seed: int = 42,
    max_prompt_chars: int | None = None,
    source: Path | None = None,
) -> ImportReport:
    """Writes a trace file (parquet) for the four default agents.

    Args:
        out: The file to write; its folder is made.
        max_records: Draw so many records by the seed; None takes all.
        seed: Decides which records are drawn, the distractors and their order.
        max_prompt_chars: Take only records whose request and four function documents have at
            most so many characters: small models are slow readers.
        source: The data set's folder; the installed wheel by default.

    Raises:
        DataError: The data is not installed, or no record is short enough.
    """
    tasks = read_tasks(source)
    pool = _documents(tasks)
    drawn = []
    for task in sorted(tasks, key=lambda task: _rank(seed, task.name)):
        distractors = _distractors(task, pool, seed, max_prompt_chars)
        if distractors is not None:
            drawn.append((task, distractors))
        if len(drawn) == max_records:
            break
    if not drawn:
        raise DataError(
            f"none of {len(tasks)} records is within {max_prompt_chars} characters",
            mend="Raise maxPromptChars (most records need 1500 to 4000).",
        )
    order = {task.name: place for place, task in enumerate(tasks)}
    drawn.sort(key=lambda pair: order[pair[0].name])
    _write(out, [_record(task, distractors, seed) for task, distractors in drawn])
    return ImportReport(
        path=out,
        records=len(drawn),
        available=len(tasks),
        with_alternatives=sum(task.has_alternatives for task, _ in drawn),
        with_optional=sum(task.has_optional for task, _ in drawn),
    )


def _rank(seed: int, *names: str) -> str:
    """A seeded order that no version of a random generator can change."""
    return hashlib.sha256("\0".join([str(seed), *names]).encode()).hexdigest()


def _documents(tasks: Sequence[Task]) -> dict[str, Mapping[str, Any]]:
    """The distinct function documents, by their canonical text."""
    return {canonical_json(task.function): task.function for task in tasks}


def _distractors(
    task: Task, pool: Mapping[str, Mapping[str, Any]], seed: int, max_chars: int | None
) -> list[Mapping[str, Any]] | None:
    """Draws three other functions, no two of one name; None if they would not fit."""
    share = None
    if max_chars is not None:
        share = (max_chars - len(task.request) - len(canonical_json(task.function))) // _DISTRACTORS
    found: dict[str, Mapping[str, Any]] = {}
    for text in sorted(pool, key=lambda text: _rank(seed, task.name, text)):
        name = pool[text]["name"]
        if (share is None or len(text) <= share) and name != task.function_name:
            found.setdefault(name, pool[text])
        if len(found) == _DISTRACTORS:
            return list(found.values())
    return None


def _record(task: Task, distractors: list[Mapping[str, Any]], seed: int) -> TraceRecord:
    functions = sorted(
        [task.function, *distractors], key=lambda d: _rank(seed, task.name, "order", d["name"])
    )
    name = task.function_name
    schema = task.function["parameters"]
    arguments = _fixed_arguments(task.allowed)
    request = {"request": task.request, "functions": functions}
    brief = {"brief": f"{name}: {task.function['description']}"}
    required = set(schema.get("required", ()))
    requirement = {
        "requirement": {
            "function": name,
            "parameters": [
                {"name": key, "type": str(kind.get("type", "any")), "required": key in required}
                for key, kind in schema.get("properties", {}).items()
            ],
        }
    }
    specification = {
        "specification": {
            "function": name,
            "arguments": [{"name": key, "value": value} for key, value in arguments.items()],
        }
    }
    accepted = _accepted_arguments(task.allowed, schema.get("properties", {}))
    return TraceRecord(
        record_id=task.name,
        inputs={
            BMAD: request,
            BAML: request | brief,
            SPECKIT: {"request": task.request} | requirement,
            EXECUTION: requirement | specification,
        },
        outputs={
            BMAD: brief,
            BAML: requirement,
            SPECKIT: specification,
            EXECUTION: {"call": {"name": name, "arguments": arguments}},
        },
        validated={"call": {"name": name, "arguments": accepted}},
        # Requests for one function resemble each other: apart, they would leak into held-out.
        group_key=name,
    )


def _fixed_arguments(allowed: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The arguments of the recorded call: the first accepted value, optional ones left out."""
    return {
        key: _fixed(values[0]) if values else []
        for key, values in allowed.items()
        if _OMITTED not in values
    }


def _fixed(value: Any) -> Any:
    if isinstance(value, dict):
        return _fixed_arguments(value)
    return [_fixed(item) for item in value] if isinstance(value, list) else value


def _accepted_arguments(
    allowed: Mapping[str, list[Any]], properties: Mapping[str, Any]
) -> dict[str, Any]:
    return {key: _accepted(values, properties.get(key, {})) for key, values in allowed.items()}


def _accepted(values: list[Any], schema: Mapping[str, Any]) -> Any:
    """The accepted values of one argument: plain where there is one, else an ``anyOf`` leaf.

    A mapping's values are lists of accepted values in turn. No list at all (two requests have
    that) means the empty list.
    """
    if not values:
        return []
    real = [value for value in values if value != _OMITTED]
    if len(real) == len(values) == 1:
        return _accepted_inside(real[0], schema)
    optional = len(real) < len(values)
    if optional and (not real or schema.get("type") == "string"):
        # An empty text passes for an omitted one where a text is expected.
        real.append(_OMITTED)
    return {"anyOf": [_fixed(value) for value in real], "optional": optional}


def _accepted_inside(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return _accepted_arguments(value, schema.get("properties", {}))
    if isinstance(value, list):
        return [_accepted_inside(item, schema.get("items", {})) for item in value]
    return value


def _write(out: Path, records: Sequence[TraceRecord]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - the reading side must not load it
    import pyarrow.parquet as pq  # noqa: PLC0415

    chain = pa.map_(pa.string(), pa.string())
    schema = pa.schema(
        [
            ("record_id", pa.string()),
            ("agent_chain_inputs", chain),
            ("agent_chain_outputs", chain),
            ("validated_json", pa.string()),
            ("group_key", pa.string()),
        ]
    )
    rows = [
        {
            "record_id": record.record_id,
            "agent_chain_inputs": _pairs(record.inputs),
            "agent_chain_outputs": _pairs(record.outputs),
            "validated_json": canonical_json(record.validated),
            "group_key": record.group_key,
        }
        for record in records
    ]
    # A half-written file must never be taken for the traces.
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema), unfinished, compression="zstd")
            unfinished.replace(out)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise CascadeError(
            f"{out} cannot be written: {error.strerror or error}",
            mend="Name a file in a folder that this user may write to.",
            code=ExitCode.ARCHIVE_WRITE,
        ) from error


def _pairs(chain: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(node, canonical_json(fields)) for node, fields in chain.items()]
