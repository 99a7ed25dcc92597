"""The CRD's CEL rules: what spans fields, said by the API server when a session is written.

Each rule guards every field with ``has``: the server also tries a default such as ``{}`` on it,
before the defaults inside are filled in. ``semantics.py`` says the same, and what CEL cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cascade_operator.api.default_agents import DEFAULT_AGENTS

STAGES: Final = ("prepare", "group", "archive")


def _missing(*paths: str) -> str:
    """Returns a condition that is true where one of these fields is absent."""
    steps: list[str] = []
    for path in paths:
        parts = path.split(".")
        steps += [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return " || ".join(f"!has(self.{step})" for step in dict.fromkeys(steps))


def _at_most(smaller: str, larger: str) -> str:
    """Returns the rule that one quantity is at most another, where both are there."""
    compared = f"quantity(self.{smaller}).compareTo(quantity(self.{larger})) <= 0"
    return f"{_missing(smaller, larger)} || {compared}"


def _filled(field: str) -> str:
    return f"(has(self.{field}) && size(self.{field}) > 0)"


def _limits() -> list[tuple[str, str]]:
    return [
        (
            _at_most(f"resources.{stage}.limits.memory", f"memory.{bound}"),
            f"resources.{stage}.limits.memory must be at most memory.{bound}",
        )
        for stage in STAGES
        for bound in ("maxPerJob", "budget")
    ]


_DEFAULT_NAMES: Final = ", ".join(f"'{agent.name}'" for agent in DEFAULT_AGENTS)
_REQUEST_RULE: Final = (
    _at_most("requests.memory", "limits.memory"),
    "requests.memory must be at most limits.memory",
)

CEL_RULES: Final[Mapping[str, list[tuple[str, str]]]] = MappingProxyType(
    {
        "spec": _limits(),
        "spec.memory": [
            (_at_most("maxPerJob", "budget"), "maxPerJob must be at most budget"),
        ],
        "spec.resources.prepare": [_REQUEST_RULE],
        "spec.resources.group": [_REQUEST_RULE],
        "spec.resources.archive": [_REQUEST_RULE],
        "spec.traces": [
            (
                "[has(self.__import__), has(self.persistentVolumeClaim), has(self.file)]"
                ".filter(named, named).size() == 1",
                "exactly one of import, persistentVolumeClaim and file is needed",
            ),
            (
                f"{_missing('validationFraction', 'heldOutFraction')} || "
                "self.validationFraction + self.heldOutFraction < 1.0",
                "validationFraction and heldOutFraction must sum up to less than 1: the rest "
                "trains",
            ),
        ],
        "spec.models": [
            (
                f"{_missing('reduction.dimensions', 'embedding.dimensions')} || "
                "self.reduction.dimensions <= self.embedding.dimensions",
                "reduction.dimensions must be at most embedding.dimensions",
            ),
        ],
        "spec.objective": [
            (
                "(has(self.metric) && self.metric == 'Custom') == "
                "(has(self.__function__) && size(self.__function__) > 0)",
                "function is needed where metric is Custom, and nowhere else",
            ),
        ],
        "spec.cascade.tiers": [
            (
                "self.map(tier, size(tier.nodes)).sum() <= 6",
                "at most 6 nodes in all: each subset of them is a Job",
            ),
            (
                "self.map(tier, tier.code).isSorted() && "
                "self.all(tier, self.exists_one(other, other.code == tier.code))",
                "tier codes must ascend",
            ),
            (
                "self.all(tier, self.exists_one(other, other.name == tier.name))",
                "tier names must be unique",
            ),
            (
                "self.all(tier, tier.nodes.all(node, self.map(other, "
                "size(other.nodes.filter(one, one.name == node.name))).sum() == 1))",
                "node names must be unique in the whole cascade",
            ),
        ],
        "spec.cascade.tiers[].nodes[]": [
            (
                f"{_filled('signature')} || ({_filled('inputs')} && {_filled('outputs')}) || "
                f"self.name in [{_DEFAULT_NAMES}]",
                "a node needs a signature, or inputs and outputs, unless it is a default agent",
            ),
            (
                f"!({_filled('signature')} && ({_filled('inputs')} || {_filled('outputs')}))",
                "a signature and typed inputs or outputs say the same twice",
            ),
        ],
    }
)
"""Rules by the path of the field they stand at: CEL and message."""
