"""Rules across fields: what a schema cannot say.

The CRD's CEL rules say the same where they can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.api.dataflow import dataflow_problems
from cascade_operator.api.groups import select_groups
from cascade_operator.api.problem import Problem, did_you_mean, show
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.api.search_spec import MAX_NODES, Metric
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.traces_spec import TracesSpec


def semantic_problems(spec: TrainingSessionSpec) -> list[Problem]:
    """Returns what is wrong with a spec whose fields, each alone, are right."""
    problems = [*_traces(spec.traces), *_cascade(spec.cascade)]
    if not problems:
        # Groups and fields mean something only where names are unique and signatures are there.
        problems += dataflow_problems(spec.cascade.completed())
        problems += _groups(spec)
    return [*problems, *_search(spec), *_memory(spec), *_models(spec)]


def _traces(traces: TracesSpec) -> Iterator[Problem]:
    sources = {
        "import": traces.import_,
        "persistentVolumeClaim": traces.persistent_volume_claim,
        "file": traces.file,
    }
    named = [name for name, value in sources.items() if value is not None]
    if len(named) != 1:
        found = "names none" if not named else f"names {' and '.join(named)}"
        yield Problem(
            "spec.traces",
            "",
            f"{found}, but exactly one of {', '.join(sources)} is needed",
            "keep one of them" if named else "add import: bfcl to try it with public data",
        )
    total = traces.validation_fraction + traces.held_out_fraction
    if total >= 1:
        yield Problem(
            "spec.traces.validationFraction",
            show(traces.validation_fraction),
            f"validationFraction and heldOutFraction sum up to {total:g}; the rest trains, so the "
            "sum must be less than 1",
            "lower one of them",
        )


def _cascade(cascade: CascadeSpec) -> Iterator[Problem]:
    tiers = cascade.tiers
    nodes = [
        (f"spec.cascade.tiers[{at}].nodes[{place}]", node)
        for at, tier in enumerate(tiers)
        for place, node in enumerate(tier.nodes)
    ]
    if len(nodes) > MAX_NODES:
        yield Problem(
            "spec.cascade.tiers",
            "",
            f"{len(nodes)} nodes in all, but at most {MAX_NODES} are possible "
            "(each subset of them is a Job)",
            "join nodes, or train a part of the cascade",
        )
    for at, (before, after) in enumerate(pairwise(tiers), start=1):
        if after.code <= before.code:
            yield Problem(
                f"spec.cascade.tiers[{at}].code",
                show(after.code),
                f"tier codes ascend, but the tier before has {before.code}",
                f"give it a code over {before.code}",
            )
    yield from _repeated("spec.cascade.tiers", "tier", [tier.name for tier in tiers])
    yield from _repeated("spec.cascade.tiers", "node", [node.name for _, node in nodes])
    for path, node in nodes:
        typed = bool(node.inputs or node.outputs)
        if node.signature and typed:
            yield Problem(
                f"{path}.signature",
                show(node.signature),
                "a signature and typed inputs or outputs say the same twice",
                "keep one of them",
            )
        elif (
            not node.signature and not node.is_default_agent and not (node.inputs and node.outputs)
        ):
            yield Problem(
                f"{path}.signature",
                "",
                f"{node.name} needs a signature, or both inputs and outputs",
                "write for example signature: 'request -> brief'; only the default agents' names "
                "need none",
            )
        for side in ("inputs", "outputs"):
            names = [field.name for field in getattr(node, side)]
            yield from _repeated(f"{path}.{side}", "field", names)


def _repeated(path: str, what: str, names: list[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(
                path, show(name), f"the {what} name {name!r} stands {count} times", "rename one"
            )


def _groups(spec: TrainingSessionSpec) -> Iterator[Problem]:
    known = [node.name for node in spec.cascade.nodes]
    right = True
    for name, lists in (("include", spec.groups.include), ("exclude", spec.groups.exclude)):
        for at, group in enumerate(lists):
            for place, node in enumerate(group):
                if node not in known:
                    right = False
                    yield Problem(
                        f"spec.groups.{name}[{at}][{place}]",
                        show(node),
                        "is not a node of the cascade",
                        did_you_mean(node, known) or f"the nodes are {', '.join(known)}",
                    )
    if right and not select_groups(spec.cascade, spec.groups):
        yield Problem(
            "spec.groups",
            "",
            f"sizes, include and exclude leave no group of the cascade's {len(known)} nodes",
            "leave spec.groups out to train every subset",
        )


def _search(spec: TrainingSessionSpec) -> Iterator[Problem]:
    objective = spec.objective
    if objective.metric is Metric.CUSTOM and not objective.function:
        yield Problem(
            "spec.objective.function",
            "",
            "is required where metric is Custom",
            "write package:attribute of the session's image",
        )
    if objective.metric is not Metric.CUSTOM and objective.function:
        yield Problem(
            "spec.objective.function",
            show(objective.function),
            f"is only used where metric is Custom, not {objective.metric.value}",
            "set metric: Custom, or drop it",
        )


def _memory(spec: TrainingSessionSpec) -> Iterator[Problem]:
    memory = spec.memory
    most = parse_quantity(memory.max_per_job) if memory.max_per_job else None
    budget = parse_quantity(memory.budget) if memory.budget else None
    if most is not None and budget is not None and most > budget:
        yield Problem(
            "spec.memory.maxPerJob",
            show(memory.max_per_job),
            f"is more than spec.memory.budget, {memory.budget}",
            "raise the budget or lower maxPerJob",
        )
    for stage in ("prepare", "group", "archive"):
        resources = getattr(spec.resources, stage)
        limit, request = resources.limits.memory, resources.requests.memory
        path = f"spec.resources.{stage}.limits.memory"
        size = parse_quantity(limit)
        if most is not None and size > most:
            yield Problem(
                path,
                show(limit),
                f"is more than spec.memory.maxPerJob, {memory.max_per_job}",
                "raise maxPerJob or lower the limit",
            )
        elif budget is not None and size > budget:
            yield Problem(
                path,
                show(limit),
                f"is more than spec.memory.budget, {memory.budget}: the Job could never start",
                "raise the budget or lower the limit",
            )
        if request and parse_quantity(request) > size:
            yield Problem(
                f"spec.resources.{stage}.requests.memory",
                show(request),
                f"is more than the limit, {limit}",
                "lower the request or raise the limit",
            )


def _models(spec: TrainingSessionSpec) -> Iterator[Problem]:
    embedding, reduction = spec.models.embedding, spec.models.reduction
    if reduction.dimensions > embedding.dimensions:
        yield Problem(
            "spec.models.reduction.dimensions",
            show(reduction.dimensions),
            f"is more than the embedding's dimensions, {embedding.dimensions}",
            "reduce to fewer dimensions than the embedding has",
        )
