"""How a session searches: groups, optimizer, objective, convergence, budget."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from cascade_operator.api.base import ApiModel, Duration, NodeName
from cascade_operator.api.scalars import Function

MAX_NODES = 6
MAX_GROUPS = 2**MAX_NODES - 1

NodeNames = Annotated[list[NodeName], Field(min_length=1, max_length=MAX_NODES)]


class Algorithm(StrEnum):
    """Where candidates come from."""

    MIPRO_V2 = "MIPROv2"


class Metric(StrEnum):
    """How an output is scored against the validated one."""

    COSINE = "Cosine"
    JSON_FIELDS = "JSONFields"
    EXACT_MATCH = "ExactMatch"
    CUSTOM = "Custom"


class Scope(StrEnum):
    """Whose output is scored."""

    END_TO_END = "EndToEnd"
    GROUP = "Group"


class GroupsSpec(ApiModel):
    """Which node groups are trained. Default: every subset of the nodes."""

    sizes: list[Annotated[int, Field(ge=1, le=MAX_NODES)]] = Field(
        default_factory=list, max_length=MAX_NODES, description="Group sizes to train. Empty: all."
    )
    include: list[NodeNames] = Field(
        default_factory=list,
        max_length=MAX_GROUPS,
        description="Train only these groups, each a list of node names. Empty: all of `sizes`.",
    )
    exclude: list[NodeNames] = Field(
        default_factory=list, max_length=MAX_GROUPS, description="Groups to leave out."
    )


class OptimizerSpec(ApiModel):
    """The search over programs."""

    algorithm: Algorithm = Field(
        Algorithm.MIPRO_V2, description="How candidates are proposed; MIPROv2."
    )
    candidates: int = Field(
        8, ge=1, le=64, description="Candidates a node, the declared program among them."
    )
    trials: int = Field(40, ge=1, le=1000, description="Trials a group, at most.")
    minibatch_size: int | None = Field(
        None,
        ge=0,
        le=10000,
        description="Validation records a trial; 0 is the whole split. Absent: the whole split up "
        "to 50 records, else 35 of them.",
    )
    full_evaluation_every: int = Field(
        5, ge=1, le=1000, description="With minibatches: trials between whole-split scores."
    )
    lattice: bool = Field(
        True, description="Start each group from what its subsets found (they are trained first)."
    )
    seed: int = Field(42, ge=0, le=2147483647, description="Seed of everything random.")
    max_bootstrapped_demonstrations: int = Field(
        2, ge=0, le=16, description="Bootstrapped demonstrations in a candidate, at most."
    )
    max_labeled_demonstrations: int = Field(
        2, ge=0, le=16, description="Demonstrations taken as recorded in a candidate, at most."
    )


class ObjectiveSpec(ApiModel):
    """What is maximised."""

    metric: Metric = Field(
        Metric.COSINE,
        description="Cosine of embedded outputs, JSONFields (share of validated fields met), "
        "ExactMatch, or Custom.",
    )
    function: Function = Field(
        "",
        description="For Custom: `package:attribute` in the session's image.",
    )
    scope: Scope = Field(
        Scope.END_TO_END,
        description="EndToEnd scores the cascade's last output; Group the group's last node.",
    )


class ConvergenceSpec(ApiModel):
    """When a group's search has converged."""

    threshold: float = Field(
        0.001, ge=0, le=1, description="Improvement of the whole-split score that counts."
    )
    patience: int = Field(
        10, ge=1, le=1000, description="Distinct programs without such an improvement."
    )


class BudgetSpec(ApiModel):
    """What a run may spend. Suspended time does not count."""

    max_duration: Duration = Field("24h", description="Time of a run, at most.")
    max_model_calls: int | None = Field(
        None, ge=1, le=10**12, description="Model calls of a run, at most."
    )
    max_tokens: int | None = Field(None, ge=1, le=10**15, description="Tokens of a run, at most.")
    max_cost: float | None = Field(
        None, ge=0, le=10**9, description="Cost of a run, at most; needs the models' prices."
    )
