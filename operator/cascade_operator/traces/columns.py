"""The columns of a trace file."""

from __future__ import annotations

from typing import Final

NEEDED: Final = ("record_id", "agent_chain_inputs", "agent_chain_outputs", "validated_json")
OPTIONAL_COLUMNS: Final = (
    "agent_chain_metrics",
    "group_key",
    "input_embeddings",
    "output_embeddings",
)
TEXT_COLUMNS: Final = ("record_id", "validated_json", "group_key")
CHAIN_COLUMNS: Final = ("agent_chain_inputs", "agent_chain_outputs")
