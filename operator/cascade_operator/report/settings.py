"""What a session asked, in a few lines for a reader."""

from __future__ import annotations

from cascade_operator.api.models_spec import ModelSpec
from cascade_operator.api.session import TrainingSessionSpec


def settings_of(spec: TrainingSessionSpec) -> tuple[tuple[str, str], ...]:
    """Returns terms and values, the most telling first."""
    optimizer, objective, budget = spec.optimizer, spec.objective, spec.budget
    embedding, reduction = spec.models.embedding, spec.models.reduction
    tiers = " → ".join(", ".join(node.name for node in tier.nodes) for tier in spec.cascade.tiers)
    prompt = spec.models.prompt
    limits = [
        f"{count:,} {what}"
        for count, what in ((budget.max_model_calls, "model calls"), (budget.max_tokens, "tokens"))
        if count is not None
    ]
    if budget.max_cost is not None:
        limits.append(f"cost {budget.max_cost:g}")
    rows = [
        ("Cascade", tiers),
        ("Task model", _model(spec.models.task)),
        ("Prompt model", "as the task model" if prompt is None else _model(prompt)),
        (
            "Embeddings",
            f"{embedding.model}, {embedding.dimensions} dimensions, "
            f"{reduction.method.value} to {reduction.dimensions}",
        ),
        ("Objective", f"{objective.metric.value}, scope {objective.scope.value}"),
        (
            "Optimizer",
            f"{optimizer.algorithm.value}, {optimizer.candidates} candidates a node, "
            f"at most {optimizer.trials} trials a group, seed {optimizer.seed}",
        ),
        (
            "Convergence",
            f"improvement under {spec.convergence.threshold:g} over "
            f"{spec.convergence.patience} programs",
        ),
        ("Budget", ", ".join([f"at most {budget.max_duration}", *limits])),
        ("Jobs at once", str(spec.parallelism)),
        (
            "Memory",
            f"gate at {spec.memory.threshold_percent:g} % of a limit"
            + (f", budget {spec.memory.budget}" if spec.memory.budget else ", no budget"),
        ),
        ("Warm start", spec.warm_start.archive or spec.warm_start.policy.value),
    ]
    return tuple(rows)


def _model(model: ModelSpec) -> str:
    where = f" at {model.endpoint}" if model.endpoint else ""
    return f"{model.model} ({model.provider.value}{where})"
