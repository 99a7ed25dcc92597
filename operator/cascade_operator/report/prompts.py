"""The best group's prompts beside the declared ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.report.model import DemonstrationView, NodeView, PromptView
from cascade_operator.training.pool import CandidatePool


def prompt_views(
    nodes: Sequence[NodeView], choice: Mapping[str, int], pool: CandidatePool
) -> tuple[PromptView, ...]:
    """Returns each chosen node's prompt before and after, in cascade order.

    Args:
        nodes: Of the cascade.
        choice: Node -> candidate of the best program.
        pool: The run's candidates; 0 is the declared program.

    Raises:
        DataError: The pool has no such candidate.
    """
    found = []
    for node in nodes:
        if node.name not in choice:
            continue
        base, chosen = pool.get(node.name, 0), pool.get(node.name, choice[node.name])
        found.append(
            PromptView(
                node=node,
                candidate=choice[node.name],
                source=chosen.source,
                before=base.instructions,
                after=chosen.instructions,
                demonstrations_before=_shown(base),
                demonstrations_after=_shown(chosen),
            )
        )
    return tuple(found)


def _shown(candidate: Candidate) -> tuple[DemonstrationView, ...]:
    return tuple(
        DemonstrationView(one.record_id or "", _text(one)) for one in candidate.demonstrations
    )


def _text(one: Demonstration) -> str:
    lines = [f"{name}: {_value(value)}" for name, value in one.inputs.items()]
    lines += [f"-> {name}: {_value(value)}" for name, value in one.outputs.items()]
    return "\n".join(lines)


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
