"""Small trace records for tests: a cascade of two nodes, `plan` and `act`."""

import json
from pathlib import Path

from cascade_operator.traces.record import NodeFields, TraceRecord

NODES = {
    "plan": NodeFields(inputs=("request",), outputs=("brief",)),
    "act": NodeFields(inputs=("brief",), outputs=("call",)),
}


def row(number: int = 0, **changes) -> dict:
    """A good row as JSONL has it; changes replace its columns."""
    brief = {"brief": f"brief {number}"}
    call = {"call": {"name": "f", "arguments": {"n": number}}}
    return {
        "record_id": f"r{number}",
        "agent_chain_inputs": {"plan": {"request": f"request {number}"}, "act": brief},
        "agent_chain_outputs": {"plan": brief, "act": call},
        "validated_json": call,
    } | changes


def record(number: int = 0, **changes) -> TraceRecord:
    """The record of a good row."""
    good = row(number)
    values = {
        "record_id": good["record_id"],
        "inputs": good["agent_chain_inputs"],
        "outputs": good["agent_chain_outputs"],
        "validated": good["validated_json"],
    }
    return TraceRecord(**(values | changes))


def write_jsonl(path: Path, rows: list) -> Path:
    """Writes rows; a text is written as it is."""
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
