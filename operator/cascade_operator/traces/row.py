"""Stage 18: turns one raw row into a record, or says why it cannot be one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from cascade_operator.traces.record import NodeFields, TraceRecord
from cascade_operator.traces.validated import leaves

MAX_TEXT_BYTES: Final = 1 << 20
"""The longest JSON text of one node, or of the validated fields."""

MAX_LINE_BYTES: Final = 8 * MAX_TEXT_BYTES
"""The longest line of JSONL: two chains of JSON, the validated fields and the vectors."""

MAX_ROW_BYTES: Final = 16 * MAX_TEXT_BYTES
"""The longest row of parquet, where each node's text is a cell of its own."""

_MAX_NAME: Final = 256
_MAX_NODES: Final = 64
_MAX_VECTOR: Final = 8192
_MAX_DEPTH: Final = 64
_MAX_DIGITS: Final = 300


class BadRowError(ValueError):
    """The row cannot be used; its text says why."""


def parse_json(text: str) -> Any:
    """Parses JSON strictly: no NaN or infinity, and no nesting beyond 64 levels.

    Raises:
        ValueError: The text is not such JSON.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_value(value, 0)
    return value


def parse_row(values: Mapping[str, Any], nodes: Mapping[str, NodeFields]) -> TraceRecord:
    """Checks one row.

    Args:
        values: The row's columns. Chains may hold objects or JSON text; maps may come as lists of
            pairs, as pyarrow gives them. Metrics that are not finite numbers are left out: they
            are shown, never computed with.
        nodes: The fields that each node of the cascade reads and writes.

    Raises:
        BadRowError: The row lacks something, or holds what no stage could use.
    """
    record_id = _name(values.get("record_id"), "record_id")
    inputs = _chain(values.get("agent_chain_inputs"), "agent_chain_inputs")
    outputs = _chain(values.get("agent_chain_outputs"), "agent_chain_outputs")
    for node, fields in nodes.items():
        _check_fields(inputs, node, fields.inputs, "agent_chain_inputs")
        _check_fields(outputs, node, fields.outputs, "agent_chain_outputs")
    group = values.get("group_key")
    return TraceRecord(
        record_id=record_id,
        inputs=inputs,
        outputs=outputs,
        validated=_validated(values.get("validated_json")),
        metrics=_metrics(values.get("agent_chain_metrics")),
        group_key=_name(group, "group_key") if group not in (None, "") else "",
        input_embeddings=_vectors(values.get("input_embeddings"), "input_embeddings"),
        output_embeddings=_vectors(values.get("output_embeddings"), "output_embeddings"),
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, over {_MAX_DIGITS}")
    return int(digits)


def _check_value(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is beyond what a double holds")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_text(key)
            _check_value(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_value(item, depth + 1)
    elif value is not None and not isinstance(value, int):
        raise ValueError(f"a {type(value).__name__} is no JSON value")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a text holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None


def _name(value: Any, column: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadRowError(f"{column} is not a text or is empty")
    if len(value) > _MAX_NAME or not value.isprintable():
        raise BadRowError(f"{column} is over {_MAX_NAME} characters or holds control characters")
    return value


def _pairs(value: Any, column: str) -> list[tuple[str, Any]]:
    """A map as pairs; entries without a value are as good as absent."""
    if value is None:
        return []
    entries: Iterable[Any] = value.items() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list):
        raise BadRowError(f"{column} is not a map")
    pairs = []
    for entry in entries:
        if not isinstance(entry, tuple | list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise BadRowError(f"{column} is not a map from names")
        if entry[1] is not None:
            pairs.append((entry[0], entry[1]))
    if len(pairs) > _MAX_NODES:
        raise BadRowError(f"{column} names more than {_MAX_NODES} nodes")
    if len({name for name, _ in pairs}) < len(pairs):
        raise BadRowError(f"{column} names a node twice")
    return pairs


def _chain(value: Any, column: str) -> dict[str, dict[str, Any]]:
    return {
        _name(node, f"{column}: a node's name"): _object(item, f"{column}[{node[:_MAX_NAME]}]")
        for node, item in _pairs(value, column)
    }


def _object(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        # A character takes a byte at least, so the cheap test spares most of the encoding.
        if len(value) > MAX_TEXT_BYTES or len(value.encode(errors="replace")) > MAX_TEXT_BYTES:
            raise BadRowError(f"{where} is longer than {MAX_TEXT_BYTES} bytes")
        try:
            value = parse_json(value)
        except ValueError as error:
            raise BadRowError(f"{where} is not JSON: {error}") from None
    else:
        try:
            _check_value(value, 0)
        except ValueError as error:
            raise BadRowError(f"{where}: {error}") from None
    if not isinstance(value, dict):
        raise BadRowError(f"{where} is not a JSON object")
    return value


def _check_fields(
    chain: Mapping[str, Mapping[str, Any]], node: str, names: tuple[str, ...], column: str
) -> None:
    if node not in chain:
        raise BadRowError(f"{column} lacks the node {node}")
    if missing := [name for name in names if name not in chain[node]]:
        raise BadRowError(f"{column}[{node}] lacks the field {', '.join(missing)}")


def _validated(value: Any) -> dict[str, Any]:
    if value is None:
        raise BadRowError("validated_json is missing")
    fields = _object(value, "validated_json")
    if not fields:
        raise BadRowError("validated_json has no field")
    try:
        leaves(fields)
    except ValueError as error:
        raise BadRowError(f"validated_json: {error}") from None
    return fields


def _metrics(value: Any) -> dict[str, dict[str, float]]:
    column = "agent_chain_metrics"
    return {
        node: {
            name: float(figure)
            for name, figure in _pairs(figures, f"{column}[{node}]")
            if _is_number(figure)
        }
        for node, figures in _pairs(value, column)
    }


def _vectors(value: Any, column: str) -> dict[str, tuple[float, ...]]:
    return {node: _vector(item, f"{column}[{node}]") for node, item in _pairs(value, column)}


def _vector(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_VECTOR:
        raise BadRowError(f"{where} is not a list of 1 to {_MAX_VECTOR} numbers")
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
        raise BadRowError(f"{where} holds something else than numbers")
    if not all(map(_is_number, value)):
        raise BadRowError(f"{where} holds NaN, infinity or a number beyond a double")
    return tuple(float(x) for x in value)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False
