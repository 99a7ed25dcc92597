"""Which node reads what from whom: a cascade's fields, checked before anything runs.

The trace gives what the first tier reads. From then on a node reads by name what was given or what
an earlier tier wrote; nodes of one tier run side by side and cannot read each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cascade_operator.api.cascade import CascadeSpec, NodeSpec
from cascade_operator.api.problem import Problem, did_you_mean, show


@dataclass(frozen=True, slots=True)
class _Node:
    """A node with its place."""

    spec: NodeSpec
    tier: int
    path: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.spec.name


def dataflow_problems(cascade: CascadeSpec) -> list[Problem]:
    """Returns what is wrong with the fields that nodes read and write.

    Args:
        cascade: Completed; each node's signature parses.
    """
    nodes = tuple(_nodes(cascade))
    writer: dict[str, _Node] = {}
    problems = []
    for node in nodes:
        for field in node.writes:
            first = writer.setdefault(field, node)
            if first is not node:
                problems.append(
                    Problem(
                        f"{node.path}.signature",
                        show(field),
                        f"the field {field!r} is written by {first.name} and by {node.name}",
                        f"give what {node.name} writes another name",
                    )
                )
    cycle = _cycle(nodes, writer)
    if cycle:
        problems.append(_cycle_problem(cycle, writer))
    # What lies on the cycle has been said; the rest of each node is still looked at.
    said = {node.name for node in cycle}
    given = {field for node in nodes if node.tier == 0 for field in node.reads}
    for node in nodes:
        for field in node.reads:
            source = writer.get(field)
            if source is not None and node.name in said and source.name in said:
                continue
            problem = _read_problem(node, field, source, given, writer)
            if problem is not None:
                problems.append(problem)
    return problems


def _nodes(cascade: CascadeSpec) -> Iterator[_Node]:
    for at, tier in enumerate(cascade.tiers):
        for place, node in enumerate(tier.nodes):
            parsed = node.parsed
            yield _Node(
                spec=node,
                tier=at,
                path=f"spec.cascade.tiers[{at}].nodes[{place}]",
                reads=tuple(dict.fromkeys(field.name for field in parsed.inputs)),
                writes=tuple(dict.fromkeys(field.name for field in parsed.outputs)),
            )


def _read_problem(
    node: _Node, field: str, source: _Node | None, given: set[str], writer: dict[str, _Node]
) -> Problem | None:
    path, value = f"{node.path}.signature", show(field)
    if source is None:
        if field in given:
            return None
        return Problem(
            path,
            value,
            f"{node.name} reads the field {field!r}, which no earlier node writes and the first "
            "tier does not read",
            did_you_mean(field, given | writer.keys())
            or "let an earlier node write it; a trace starts with what the first tier reads",
        )
    if source.tier < node.tier:
        return None
    if source.tier == node.tier:
        return Problem(
            path,
            value,
            f"{node.name} reads the field {field!r}, which {source.name} of the same tier writes; "
            "nodes of one tier cannot read each other",
            f"move {node.name} to a later tier",
        )
    return Problem(
        path,
        value,
        f"{node.name} reads the field {field!r}, which only the later node {source.name} writes",
        f"move {source.name} to an earlier tier",
    )


def _cycle(nodes: tuple[_Node, ...], writer: dict[str, _Node]) -> tuple[_Node, ...]:
    """Returns nodes of which each reads what the next writes, the last what the first writes."""
    done: set[str] = set()

    def walk(node: _Node, trail: tuple[_Node, ...]) -> tuple[_Node, ...]:
        if node in trail:
            return trail[trail.index(node) :]
        if node.name in done:
            return ()
        for field in node.reads:
            source = writer.get(field)
            if source is not None and (found := walk(source, (*trail, node))):
                return found
        done.add(node.name)
        return ()

    for node in nodes:
        if found := walk(node, ()):
            return found
    return ()


def _cycle_problem(cycle: tuple[_Node, ...], writer: dict[str, _Node]) -> Problem:
    steps = []
    for at, node in enumerate(cycle):
        source = cycle[(at + 1) % len(cycle)]
        field = next(one for one in node.reads if writer.get(one) is source)
        by = "itself" if source is node else source.name
        steps.append(f"{node.name} reads {field} written by {by}")
    return Problem(
        f"{cycle[0].path}.signature",
        show(cycle[0].spec.signature),
        f"the nodes read each other in a circle: {', '.join(steps)}",
        "let one of them read only what earlier tiers write",
    )
