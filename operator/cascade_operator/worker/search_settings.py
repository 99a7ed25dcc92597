"""How each group of a run is searched: the session's settings and its share of the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.run import RunConfig
from cascade_operator.api.search_spec import Scope
from cascade_operator.training.budget import Demand, group_shares
from cascade_operator.training.strategy import SearchSettings


def search_settings(
    config: RunConfig,
    group: NodeGroup,
    candidates: Mapping[str, int],
    *,
    validation: int,
    held_out: int,
) -> SearchSettings:
    """Returns how a group is searched, its share of the budget among it.

    Args:
        config: The run.
        group: One of its groups.
        candidates: Node name -> candidates.
        validation: Records of the validation split.
        held_out: Records of the held-out split.
    """
    spec = config.spec
    nodes = [node.name for node in spec.cascade.nodes]
    per_record = {
        g.key: nodes.index(g.nodes[-1]) + 1 if spec.objective.scope is Scope.GROUP else len(nodes)
        for g in config.node_groups()
    }
    unlimited = SearchSettings(
        seed=spec.optimizer.seed,
        trials=spec.optimizer.trials,
        minibatch_size=spec.optimizer.minibatch_size,
        full_evaluation_every=spec.optimizer.full_evaluation_every,
        threshold=spec.convergence.threshold,
        patience=spec.convergence.patience,
        calls_per_record=per_record[group.key],
    )
    demand = Demand(
        trials=spec.optimizer.trials,
        records_per_trial=unlimited.records_per_trial(validation),
        held_out=held_out,
        calls_per_record=per_record,
        candidates=candidates,
    )
    shares = group_shares(spec.budget.max_model_calls, config.node_groups(), demand)
    return replace(unlimited, max_calls=shares[group.key])
