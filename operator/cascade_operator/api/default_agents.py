"""The four default agents as plain data: request -> brief -> requirement -> specification -> call.

Plain, so that the models can fall back to them and the default cascade can be made of the models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_REQUIREMENT: Final = "{function: str, parameters: list[{name: str, type: str, required: bool}]}"
_SPECIFICATION: Final = "{function: str, arguments: list[{name: str, value: json}]}"


@dataclass(frozen=True, slots=True)
class DefaultAgent:
    """One agent and the tier it makes up.

    Attributes:
        tier: The tier's name.
        code: The tier's code, 00-39.
        name: The node's name.
        signature: What it reads and writes.
        instructions: The declared instructions.
        adapter: Chat, JSON or BAML.
    """

    tier: str
    code: int
    name: str
    signature: str
    instructions: str
    adapter: Literal["Chat", "JSON", "BAML"]


DEFAULT_AGENTS: Final = (
    DefaultAgent(
        tier="bmad",
        code=0,
        name="agent-00-autogen-bmad",
        signature="request: str, functions: list[json] -> brief: str",
        instructions="Choose the one function that serves the request. Write its name, a colon and"
        " what it does.",
        adapter="Chat",
    ),
    DefaultAgent(
        tier="baml",
        code=10,
        name="agent-10-baml-transform",
        signature=f"request: str, functions: list[json], brief: str -> requirement: {_REQUIREMENT}",
        instructions="Turn the brief into a typed requirement: the chosen function's name and each"
        " of its parameters with type and whether it is required.",
        adapter="BAML",
    ),
    DefaultAgent(
        tier="speckit",
        code=20,
        name="agent-20-speckit-dspy",
        signature=f"request: str, requirement: {_REQUIREMENT} -> specification: {_SPECIFICATION}",
        instructions="Fill in the requirement's parameters with the values that the request gives."
        " Leave out an optional parameter the request does not mention.",
        adapter="JSON",
    ),
    DefaultAgent(
        tier="execution",
        code=30,
        name="agent-30-dspy-execution",
        signature=f"requirement: {_REQUIREMENT}, specification: {_SPECIFICATION} "
        "-> call: {name: str, arguments: dict[str, json]}",
        instructions="Write the function call that the specification describes, each argument with"
        " the type that the requirement asks for.",
        adapter="JSON",
    ),
)

DEFAULT_AGENT_BY_NAME: Final = {agent.name: agent for agent in DEFAULT_AGENTS}
