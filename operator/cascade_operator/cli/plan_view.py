"""How a plan looks to a reader. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from cascade_operator.cli.console import clean
from cascade_operator.cli.reasons import explained
from cascade_operator.cli.tables import cell, plain_table
from cascade_operator.monitoring.figures import (
    NONE,
    count_text,
    group_text,
    memory_text,
    seconds_text,
    short_names,
)

if TYPE_CHECKING:
    from cascade_operator.api.estimate import RunEstimate
    from cascade_operator.local.plan import SessionPlan

NARROW = 72
"""Columns below which the table leaves out what it can."""
_RIGHT = ("calls", "at most", "tokens", "time")
_BUDGETS = {
    "CallBudget": "maxModelCalls",
    "TokenBudget": "maxTokens or maxCost",
    "DeadlineExceeded": "maxDuration",
}


def render_plan(found: SessionPlan, *, width: int = 80) -> RenderableType:
    """Renders a plan; on a narrow screen without what each group ends with."""
    parts: list[RenderableType] = [
        Text(clean(_title(found)), style="bold"),
        Text(clean(_records(found))),
        Text(),
        _groups(found, narrow=width < NARROW),
        Text(explained(g.reason.value for g in found.estimate.groups.values()), style="dim"),
        Text(),
        *[Text(clean(line)) for line in _figures(found)],
        Text(),
        *[Text(clean(line)) for line in _memory(found)],
    ]
    if found.warnings:
        parts += [Text(), *(Text(clean(f"warning: {w}"), style="yellow") for w in found.warnings)]
    parts += [Text(), *(Text(clean(f"note: {n}"), style="dim") for n in _notes(found))]
    return Group(*parts)


def _title(found: SessionPlan) -> str:
    groups, nodes = len(found.config.groups), len(found.config.spec.cascade.nodes)
    return f"{found.config.name}: a run trains {groups} groups of {nodes} nodes"


def _records(found: SessionPlan) -> str:
    split = found.estimate.basis.split
    total = split.training + split.validation + split.held_out
    return (
        f"{total} records: {split.training} to propose from, {split.validation} to select by, "
        f"{split.held_out} held out; {found.rejected} rows put aside"
    )


def _groups(found: SessionPlan, *, narrow: bool) -> RenderableType:
    estimate = found.estimate
    nodes = [node.name for node in found.config.spec.cascade.nodes]
    names = short_names(nodes)
    ends = ("trials",) if narrow else ("ends with", "trials")
    table = plain_table("", *ends, *_RIGHT, right=("trials", *_RIGHT))
    prepare = estimate.basis.prepare_calls
    groups = sum(group.tokens for group in estimate.groups.values())
    table.add_row(
        cell("prepare"),
        *(() if narrow else ("",)),
        NONE,
        count_text(prepare.likely),
        count_text(prepare.at_most),
        count_text(max(0, estimate.tokens.likely - groups)),
        _time(_prepare_seconds(found)),
    )
    for group in found.config.node_groups():
        one = estimate.groups[group.key]
        table.add_row(
            cell(group_text(group.nodes, names)),
            *(() if narrow else (one.reason.value,)),
            str(one.trials),
            count_text(one.model_calls.likely),
            count_text(one.model_calls.at_most),
            count_text(one.tokens),
            _time(one.seconds),
        )
    table.add_section()
    table.add_row(
        cell("the run", "bold"),
        *(() if narrow else ("",)),
        str(sum(group.trials for group in estimate.groups.values())),
        cell(count_text(estimate.model_calls.likely), "bold"),
        count_text(estimate.model_calls.at_most),
        count_text(estimate.tokens.likely),
        cell(_time(estimate.seconds), "bold"),
    )
    return table


def _prepare_seconds(found: SessionPlan) -> float | None:
    if found.estimate.seconds is None:
        return None
    return max(0.0, found.estimate.seconds - found.schedule.seconds)


def _time(seconds: float | None) -> str:
    return seconds_text(seconds)


def _figures(found: SessionPlan) -> list[str]:
    estimate = found.estimate
    basis = estimate.basis
    lines = [
        f"model calls  {estimate.model_calls.likely} expected, {estimate.model_calls.at_most} at "
        f"most; {count_text(estimate.logical_calls)} node runs, the rest is shared or cached",
        f"tokens       {count_text(estimate.input_tokens)} in, "
        f"{count_text(estimate.output_tokens)} out",
        f"embeddings   {_requests(estimate.embedding_requests)}",
    ]
    if estimate.cost is not None:
        lines.append(f"cost         {estimate.cost:.4g}, at the session's prices")
    lines.append(f"time         {_speed(found)}")
    cut = _cut(estimate)
    lines.append(f"budget       {cut}")
    lines.append(
        f"at once      {found.schedule.at_once} Jobs, each with {basis.parallel_calls} calls "
        f"in flight; {_order(found)}"
    )
    return lines


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count_text(count)} requests"


def _order(found: SessionPlan) -> str:
    """How the groups come after each other."""
    sizes = Counter(group.size for group in found.config.node_groups())
    if not found.config.spec.optimizer.lattice or len(sizes) == 1:
        return "no group waits for another"
    shown = ", ".join(f"{count} of {size}" for size, count in sorted(sizes.items()))
    return f"groups of nodes start after their subsets: {shown}"


def _speed(found: SessionPlan) -> str:
    basis = found.estimate.basis
    if basis.seconds_per_call is None or found.estimate.seconds is None:
        return "not known: no server was asked"
    text = (
        f"{seconds_text(found.estimate.seconds)}; {found.asked} calls asked, "
        f"{basis.seconds_per_call:.2f} s each alone"
    )
    if basis.parallel_gain == 1:
        text += ", one request at a time"
    elif basis.parallel_gain is not None:
        text += f", {basis.parallel_gain:.1f} times as many from two at once"
    return text


def _cut(estimate: RunEstimate) -> str:
    reasons = {group.reason.value for group in estimate.groups.values()} & set(_BUDGETS)
    if not reasons:
        return "does not cut it short"
    named = ", ".join(f"spec.budget.{_BUDGETS[reason]}" for reason in sorted(reasons))
    return f"{named} cuts {count_text(estimate.cut_calls)} calls off"


def _memory(found: SessionPlan) -> list[str]:
    parts = [f"{m.stage} {memory_text(m.need)} of {memory_text(m.limit)}" for m in found.memory]
    bound = (
        f", of a budget of {memory_text(found.memory_budget)}"
        if found.memory_budget is not None
        else ""
    )
    return [
        f"memory       {', '.join(parts)}",
        f"             limits of Jobs at once {memory_text(found.schedule.limits)}{bound}; "
        f"free here {memory_text(found.free_memory)}",
    ]


def _notes(found: SessionPlan) -> tuple[str, ...]:
    return (
        "expected: scores are drawn and answers that are short are taken to agree often, so that "
        "their prompts are shared; at most: every answer differs and no search converges",
        *found.notes,
    )
